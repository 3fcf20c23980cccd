/** The fingerprint of what the addon is compiled from; `root` is the folder of `ops.def`. */
export declare function sourcesOf(root: string): string;
