// A browser with the console open, driven by commands as JSON lines: node console_page.mjs URL EXECUTABLE
// Each answer may tell what the browser complained about meanwhile.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { PATIENCE_MILLISECONDS } from "./commands.mjs";

const [url, executablePath] = process.argv.slice(2);
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
let context, page;
let complaints = [];
const foreign = [];

const commands = {
  // A new page, at a place of the console's, in a window of a size.
  async open({ place = "", width = 1280, height = 800, scheme = "light" }) {
    await context?.close();
    complaints = [];
    context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce" });
    page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MILLISECONDS);
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => new URL(request.url()).host !== new URL(url).host && foreign.push(request.url()));
    await page.goto(`${url}/console/${place}`);
  },
  async login({ user, password }) {
    await page.getByLabel("User").fill(user);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Log in" }).click();
  },
  // Waits until the page shows a text.
  async see({ text, exact = false }) {
    await page.getByText(text, { exact }).first().waitFor();
  },
  async gone({ text }) {
    await page.getByText(text).first().waitFor({ state: "hidden" });
  },
  async go({ place }) {
    await page.evaluate((hash) => { location.hash = hash; }, place);
  },
  async click({ role, name }) {
    await page.getByRole(role, { name, exact: true }).first().click();
  },
  async fill({ label, text }) {
    await page.getByLabel(label, { exact: true }).fill(text);
  },
  async press({ keys }) {
    for (const key of keys) await page.keyboard.press(key);
    return page.evaluate(() => document.activeElement?.textContent ?? "");
  },
  async text() {
    return page.locator("#app").innerText();
  },
  async place() {
    return page.url();
  },
  async count({ selector }) {
    return page.locator(selector).count();
  },
  async overflow() {
    return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  },
  // Touch targets smaller than 44 px: links within a sentence are none.
  async small() {
    return page.evaluate(() =>
      [...document.querySelectorAll("button, input, select, textarea, summary, nav a, a.row, a.value")]
        .map((element) => [element.textContent || element.name, element.getBoundingClientRect()])
        .filter(([, box]) => box.width > 0 && (box.height < 43.5 || box.width < 43.5))
        .map(([name, box]) => `${name}: ${box.width} x ${box.height}`),
    );
  },
  async violations() {
    await page.evaluate(AXE);
    const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`);
  },
  async heap() {
    const session = await context.newCDPSession(page);
    await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Runtime.getHeapUsage")).usedSize;
  },
  async scroll({ label, to }) {
    await page.getByLabel(label).evaluate((box, place) => { box.scrollTop = place * box.scrollHeight; }, to);
  },
  async screenshot({ path }) {
    await page.screenshot({ path });
  },
  // The share of the picture that is other than in another one: of squares of 8 pixels, whose colours differ visibly. So
  // other digits count for nothing, and what moved, came or went does.
  async unlike({ path, other }) {
    const [one, two] = [path, other].map((file) => `data:image/png;base64,${readFileSync(file).toString("base64")}`);
    const empty = await context.newPage();
    try {
      return await empty.evaluate(async ([left, right]) => {
        const squares = async (source) => {
          const image = new Image();
          image.src = source;
          await image.decode();
          const canvas = new OffscreenCanvas(Math.ceil(image.width / 8), Math.ceil(image.height / 8));
          const pen = canvas.getContext("2d");
          pen.imageSmoothingQuality = "high";
          pen.drawImage(image, 0, 0, canvas.width, canvas.height);
          return pen.getImageData(0, 0, canvas.width, canvas.height);
        };
        const [a, b] = [await squares(left), await squares(right)];
        if (a.width !== b.width || a.height !== b.height) return 1;
        let other = 0;
        for (let at = 0; at < a.data.length; at += 4) {
          const differences = [0, 1, 2].map((colour) => Math.abs(a.data[at + colour] - b.data[at + colour]));
          if (Math.max(...differences) > 48) other += 1;
        }
        return (4 * other) / a.data.length;
      }, [one, two]);
    } finally {
      await empty.close();
    }
  },
  async complaints() {
    const found = complaints;
    complaints = [];
    return found;
  },
  async foreign() {
    return foreign;
  },
};

function say(told) {
  console.log(JSON.stringify(told));
}

say({ result: "connected" });
for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  try {
    say({ result: (await commands[command](rest)) ?? null });
  } catch (error) {
    say({ error: String(error.message ?? error) });
  }
}
await browser.close();
