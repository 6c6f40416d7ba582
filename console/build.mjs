// Builds the console into one HTML file with its script and style inside, the same bytes on every machine.
//
//   node build.mjs            writes ../src/jina/console/page.html
//   node build.mjs --check    fails where that file is not what would be written
//   node build.mjs --to FILE  writes elsewhere
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const arguments_ = process.argv.slice(2);
const target = arguments_.includes("--to")
  ? arguments_[arguments_.indexOf("--to") + 1]
  : join(here, "..", "src", "jina", "console", "page.html");
const LIMIT = 120 * 1024;

const common = { bundle: true, minify: true, write: false, legalComments: "none", charset: "utf8", logLevel: "error" };
const script = await build({
  ...common,
  entryPoints: [join(here, "src", "main.tsx")],
  format: "iife",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  tsconfigRaw: {}, // what is compiled depends on this file alone
});
const style = await build({ ...common, entryPoints: [join(here, "src", "style.css")], target: ["chrome111", "firefox121", "safari17"] });
const js = script.outputFiles[0].text.trim();
const css = style.outputFiles[0].text.trim();
for (const [text, end] of [[js, "</script"], [js, "<!--"], [css, "</style"]])
  if (text.toLowerCase().includes(end)) throw new Error(`the built page would end early at ${end}`);
const page = readFileSync(join(here, "src", "page.html"), "utf8")
  .replace("/* style */", () => css)
  .replace("/* script */", () => js);
const size = gzipSync(page, { level: 9 }).length;
if (size > LIMIT) throw new Error(`the page has ${size} bytes compressed, more than ${LIMIT}`);

if (arguments_.includes("--check")) {
  if (readFileSync(target, "utf8") !== page) {
    console.error(`${target} is not what its sources give: run make console`);
    process.exit(1);
  }
} else writeFileSync(target, page);
console.log(`console: ${page.length} bytes, ${size} compressed`);
