import { chapterPages } from "../site/chapter.js";

export default { paths: () => chapterPages("en") };
