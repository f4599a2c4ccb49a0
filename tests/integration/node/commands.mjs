// Commands arrive as JSON lines on standard input; a result or an error goes back for each, messages go whenever they
// come. The end of the input ends the client.
import { createInterface } from "node:readline";

// What clients wait for one answer; as long as the tests wait for them.
export const PATIENCE_MILLISECONDS = 60_000;

export function tell(event) {
  process.stdout.write(JSON.stringify(event) + "\n");
}

export async function serve(commands, end) {
  tell({ result: "connected" });
  for await (const line of createInterface({ input: process.stdin })) {
    const { command, ...options } = JSON.parse(line);
    try {
      tell({ result: (await commands[command](options)) ?? null });
    } catch (error) {
      tell({ error: String(error) });
    }
  }
  await end();
  process.exit(0);
}
