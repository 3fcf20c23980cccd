// # What the compiler made of the kernels
//
// Counts the machine instructions of each kernel in a compiled file (a cubin, which is an ELF file), without a
// disassembler: an instruction has 16 bytes from sm_70 on, and its lowest 12 bits say what it does. Only
// those that a kernel is judged by have names here.

/** By the lowest 12 bits; for some there are several, by where their operands lie. */
const opcodes: Readonly<Record<number, string>> = {
  0x23c: "HMMA",
  0x1f0: "HGMMA",
  0x5f0: "HGMMA",
  0x9f0: "HGMMA",
  0xdf0: "HGMMA",
  0x223: "FFMA",
  0xfae: "LDGSTS",
  0x83b: "LDSM",
  0x5b4: "UTMALDG",
  0x983: "LDL",
  0x387: "STL",
};

export type Counts = Readonly<Record<string, number>>;

/**
 * By the mangled name of each kernel, how many instructions of each kind it has.
 *
 * Throws: RangeError for a file that is no ELF file of 64 bits.
 */
export function instructionsOf(cubin: Buffer): Map<string, Counts> {
  if (cubin.subarray(0, 5).toString("latin1") !== "\x7fELF\x02")
    throw new RangeError("expected an ELF file of 64 bits");
  const number = (at: number) => Number(cubin.readBigUInt64LE(at));
  const table = number(0x28);
  const [size, count, names] = [0x3a, 0x3c, 0x3e].map((at) => cubin.readUInt16LE(at));
  const sections = Array.from({ length: count }, (_, i) => {
    const at = table + i * size;
    return { name: cubin.readUInt32LE(at), start: number(at + 0x18), bytes: number(at + 0x20) };
  });
  const result = new Map<string, Counts>();
  for (const { name, start, bytes } of sections) {
    const begin = sections[names].start + name;
    const title = cubin.toString("latin1", begin, cubin.indexOf(0, begin));
    if (!title.startsWith(".text.")) continue;
    const counts: Record<string, number> = {};
    for (let at = start; at < start + bytes; at += 16) {
      const known = opcodes[cubin.readUInt16LE(at) & 0xfff] as string | undefined;
      if (known !== undefined) counts[known] = (counts[known] ?? 0) + 1;
    }
    result.set(title.slice(".text.".length), counts);
  }
  return result;
}
