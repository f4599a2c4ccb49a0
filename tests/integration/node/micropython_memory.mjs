// MicroPython with 32-bit objects: node micropython_memory.mjs DIRECTORY STEP...
// DIRECTORY is what the board's file system has. A step is Python, `await` included; what lives on the heap before the
// first and after each is told as a JSON list of bytes.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadMicroPython } from "@micropython/micropython-webassembly-pyscript";

const [directory, ...steps] = process.argv.slice(2);
const board = await loadMicroPython({ stdout: (line) => console.error(line), stderr: (line) => console.error(line) });

function copy(from, to) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), `${to}/${entry.name}`];
    if (entry.isDirectory()) {
      board.FS.mkdir(target);
      copy(source, target);
    } else {
      board.FS.writeFile(target, readFileSync(source));
    }
  }
}

async function live() {
  // It collects only when nothing of Python is on the stack any more.
  for (let times = 0; times < 3; times++) await board.runPythonAsync("gc.collect()");
  await board.runPythonAsync("_live = gc.mem_alloc()");
  return board.globals.get("_live");
}

copy(directory, "");
try {
  await board.runPythonAsync("import gc, sys\nsys.path.append('/')\n_live = 0");
  const told = [await live()];
  for (const step of steps) {
    await board.runPythonAsync(step);
    told.push(await live());
  }
  console.log(JSON.stringify(told));
  process.exit(0);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
