import { operationPages } from "../site/operation.js";

export default { paths: () => operationPages() };
