import { reportPages } from "../site/report.js";

export default { paths: () => reportPages() };
