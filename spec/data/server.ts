// # A server on the loopback interface, as bad as a test wants it
//
// It serves the given files, answers requests for a range, and can be told to stop halfway, to
// keep silent, or to ignore ranges. What was asked of it is on record.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export interface Behaviour {
  /** Whether a request for a range is honoured. Default: true. */
  ranges?: boolean;
  /** Each answer stops after this many bytes, until the test breaks it off. */
  pauseAfter?: number;
  /** The file comes in this many pieces, with 0.4 s before each but the first. */
  pieces?: number;
  /** Nothing is sent, but the connection stays open: at once, or after the headers. */
  silent?: "at once" | "after headers";
  /** Answer everything with this status. */
  status?: number;
  /** Say nothing about the length. */
  chunked?: boolean;
}

export interface TestServer {
  readonly address: string;
  /** `NAME` or `NAME from BYTE`, one for each request. */
  readonly requests: string[];
  behaviour: Behaviour;
  /** Drops all connections. */
  breakOff(): void;
  close(): Promise<void>;
}

export async function serve(files: ReadonlyMap<string, Uint8Array>): Promise<TestServer> {
  const requests: string[] = [];
  const server: Server = createServer((request, response) => {
    const { ranges = true, pauseAfter, pieces = 1, silent, status, chunked } = result.behaviour;
    const name = (request.url ?? "").slice(1);
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    requests.push(start > 0 ? `${name} from ${start}` : name);
    const file = files.get(name);
    if (silent === "at once") return;
    if (status !== undefined || file === undefined) {
      response.writeHead(status ?? 404).end();
      return;
    }
    if (start >= file.length && start > 0 && ranges) {
      response.writeHead(416).end();
      return;
    }
    const resumed = start > 0 && ranges;
    const body = resumed ? file.subarray(start) : file;
    response.writeHead(resumed ? 206 : 200, {
      ...(!chunked && { "content-length": body.length }),
      ...(resumed && { "content-range": `bytes ${start}-${file.length - 1}/${file.length}` }),
    });
    response.flushHeaders();
    if (silent === "after headers") return;
    if (pauseAfter !== undefined) {
      response.write(body.subarray(0, pauseAfter));
      return;
    }
    const size = Math.ceil(body.length / pieces);
    const send = (from: number): void => {
      if (from + size >= body.length) {
        response.end(body.subarray(from));
        return;
      }
      response.write(body.subarray(from, from + size));
      setTimeout(() => send(from + size), 400);
    };
    send(0);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const result: TestServer = {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests,
    behaviour: {},
    breakOff: () => server.closeAllConnections(),
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
  return result;
}
