// # Is this Node new enough?
//
// Loaded before all else, and in words that any Node understands, since an old one would stumble
// over the first file that is not.

var needed = /\d+/.exec(require("../package.json").engines.node)[0];
if (parseInt(process.versions.node, 10) < Number(needed)) {
  console.error(
    "convnotes needs Node.js " +
      needed +
      " or newer, and this is " +
      process.versions.node +
      ".\n" +
      "Install a current one from https://nodejs.org and try again.",
  );
  process.exit(1);
}
