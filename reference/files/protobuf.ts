// # Protocol buffers
//
// The few rules of the format that ONNX files are written in. A message is a list of fields, each
// a key (its number and one of four ways to say how long it is) and a value; nested messages, text
// and packed lists are all runs of bytes to it.
//
// Source: protobuf.dev, "Encoding".

import { FileFormatError } from "./source.js";

// ## Writing

/** A message that grows field by field. Bytes that are put in are not copied. */
export class Message {
  readonly #pieces: Uint8Array[] = [];
  #size = 0;

  /** A whole number, an enumeration or a truth value. */
  int(field: number, value: number): this {
    return this.#push(varint(field * 8)).#push(varint(value));
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#push(varint(field * 8 + 5)).#push(bytes);
  }

  bytes(field: number, value: Uint8Array): this {
    return this.#push(varint(field * 8 + 2))
      .#push(varint(value.length))
      .#push(value);
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    this.#push(varint(field * 8 + 2)).#push(varint(value.#size));
    for (const piece of value.#pieces) this.#push(piece);
    return this;
  }

  /** The message's bytes, to be written one after the other. */
  get pieces(): readonly Uint8Array[] {
    return this.#pieces;
  }

  #push(piece: Uint8Array): this {
    this.#pieces.push(piece);
    this.#size += piece.length;
    return this;
  }
}

/** Seven bits a byte, lowest first; negative numbers as 64 bits of two's complement. */
function varint(value: number): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 128 : low);
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

// ## Reading

/** The fields of a message, read on demand as what the reader knows them to be. */
export class Fields {
  readonly #values = new Map<number, (bigint | Uint8Array)[]>();

  /** Throws: FileFormatError, with `where`, for what is no message. */
  constructor(
    bytes: Uint8Array,
    readonly where: string,
  ) {
    let at = 0;
    const take = (length: number): Uint8Array => {
      if (length > bytes.length - at) throw this.damaged("a field ends beyond its message");
      at += length;
      return bytes.subarray(at - length, at);
    };
    while (at < bytes.length) {
      const [key, next] = this.#varint(bytes, at);
      at = next;
      const field = Number(key >> 3n);
      let value: bigint | Uint8Array;
      switch (Number(key & 7n)) {
        case 0:
          [value, at] = this.#varint(bytes, at);
          break;
        case 1:
          value = take(8);
          break;
        case 2: {
          const [length, start] = this.#varint(bytes, at);
          at = start;
          value = take(Number(length));
          break;
        }
        case 5:
          value = take(4);
          break;
        default:
          throw this.damaged(`field ${field} is of a kind that there is not`);
      }
      const known = this.#values.get(field);
      if (known === undefined) this.#values.set(field, [value]);
      else known.push(value);
    }
  }

  damaged(why: string): FileFormatError {
    return new FileFormatError(`${this.where}: is no ONNX file, or damaged: ${why}`);
  }

  #varint(bytes: Uint8Array, start: number): [value: bigint, next: number] {
    let value = 0n;
    for (let i = 0; i < 10; i++) {
      if (start + i >= bytes.length) break;
      const byte = bytes[start + i];
      value |= BigInt(byte & 127) << BigInt(7 * i);
      if (byte < 128) return [BigInt.asUintN(64, value), start + i + 1];
    }
    throw this.damaged("a number has no end");
  }

  has(field: number): boolean {
    return this.#values.has(field);
  }

  bytesOf(field: number): Uint8Array[] {
    return (this.#values.get(field) ?? []).map((v) => {
      if (typeof v === "bigint") throw this.damaged(`field ${field} is a number`);
      return v;
    });
  }

  messages(field: number): Fields[] {
    return this.bytesOf(field).map((bytes) => new Fields(bytes, this.where));
  }

  texts(field: number): string[] {
    return this.bytesOf(field).map((bytes) => new TextDecoder().decode(bytes));
  }

  /** The last value of a field of text, `""` without one. */
  text(field: number): string {
    return this.texts(field).at(-1) ?? "";
  }

  /** Whole numbers of a field, one by one or packed. */
  ints(field: number): bigint[] {
    const result: bigint[] = [];
    for (const value of this.#values.get(field) ?? []) {
      if (typeof value === "bigint") result.push(BigInt.asIntN(64, value));
      else
        for (let at = 0; at < value.length;) {
          const [next, end] = this.#varint(value, at);
          result.push(BigInt.asIntN(64, next));
          at = end;
        }
    }
    return result;
  }

  /** The last whole number of a field. Throws: FileFormatError beyond 2⁵³. */
  int(field: number, otherwise = 0): number {
    const value = this.ints(field).at(-1);
    return value === undefined ? otherwise : this.small(value);
  }

  /** Throws: FileFormatError beyond 2⁵³. */
  small(value: bigint): number {
    if (!Number.isSafeInteger(Number(value))) throw this.damaged(`a number is ${value}`);
    return Number(value);
  }

  /** Floats of a field, one by one or packed. */
  floats(field: number): number[] {
    return this.bytesOf(field).flatMap((bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      return Array.from({ length: bytes.length >> 2 }, (_, i) => view.getFloat32(4 * i, true));
    });
  }
}
