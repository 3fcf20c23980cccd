export function buildWebServer(folder: string): Promise<unknown>;
