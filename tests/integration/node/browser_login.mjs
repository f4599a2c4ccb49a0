// Chromium opens a page and lets it speak to a gateway over wss: node browser_login.mjs JSON
// with `executable`, `page` (the page's URL, answered here), `url` of the gateway, `cookies`, `trusting` (any certificate
// will do) and `say`, what is sent once the connection is open. Prints what the page heard as one line of JSON.
import { chromium } from "playwright-core";

const asked = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: asked.executable,
  // The page is not really from loopback: it is answered here.
  args: ["--no-sandbox", "--disable-gpu", "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"],
});
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: asked.trusting });
  await context.addCookies(asked.cookies);
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => errors.push(message.text()));
  await page.route(asked.page, (route) => route.fulfill({ contentType: "text/html", body: "<p>here</p>" }));
  await page.goto(asked.page);
  const heard = await page.evaluate(
    ({ url, say, protocols, until }) =>
      new Promise((resolve) => {
        const heard = { origin: location.origin, opened: false, text: "", code: 0 };
        const socket = new WebSocket(url, protocols);
        socket.binaryType = "arraybuffer";
        socket.onopen = () => {
          heard.opened = true;
          socket.send(new Uint8Array(say));
        };
        socket.onmessage = (event) => {
          heard.text += String.fromCharCode(...new Uint8Array(event.data));
          if (heard.text.includes(until)) socket.close();
        };
        socket.onclose = (event) => {
          heard.code = event.code;
          resolve(heard);
        };
      }),
    { url: asked.url, say: asked.say, protocols: asked.protocols, until: asked.until },
  );
  console.log(JSON.stringify({ ...heard, errors }));
} finally {
  await browser.close();
}
