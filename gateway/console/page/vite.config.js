// Builds the page into ../built, compressed only: the gateway sends it as it lies there.
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig } from "vite";

const built = new URL("../built", import.meta.url).pathname;

function compress(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) compress(path);
    else {
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9, memLevel: 9 }));
      rmSync(path);
    }
  }
}

export default defineConfig({
  // Relative, for proxies that put the gateway below a path of theirs.
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    // A twentieth smaller than what esbuild makes.
    minify: "terser",
    terserOptions: { module: true, ecma: 2020, compress: { passes: 4, unsafe_arrows: true } },
    target: "es2022",
    outDir: built,
    emptyOutDir: true,
    // A data: URL would need a hole in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  plugins: [{ name: "compress", apply: "build", closeBundle: () => compress(built) }],
});
