/** The path of a new folder with the files of `workspace/`; whoever asks for it removes it. */
export declare function makeWorkspace(): string;
