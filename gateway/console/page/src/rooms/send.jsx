import { useSignal } from "@preact/signals";
import { publish, request, sentence } from "../connection.js";
import { asSubject } from "../words.js";
import { headersOf, Payload } from "./message.jsx";

// Publish a message, or ask with it; the answer stands below.
export function Send({ subject }) {
  const outcome = useSignal("");
  const answer = useSignal(null);
  const submit = async (event) => {
    event.preventDefault();
    const said = new FormData(event.currentTarget);
    const target = asSubject(said.get("subject"));
    answer.value = null;
    if (!target || /[*>\s]/.test(target)) {
      outcome.value = "A message goes to one subject: no spaces, and no wildcards.";
      return;
    }
    try {
      const lines = said.get("headers").split("\n").filter((line) => line.trim()).map(header);
      if (event.submitter?.value === "request") {
        outcome.value = "Waiting for the answer …";
        const message = await request(target, said.get("payload"), lines);
        answer.value = { data: message.data, headers: headersOf(message), at: new Date() };
        outcome.value = `Answered from ${target}.`;
      } else {
        await publish(target, said.get("payload"), lines);
        outcome.value = `Published on ${target}.`;
      }
    } catch (error) {
      outcome.value = sentence(error);
    }
  };
  return (
    <section>
      <h2>Publish or ask</h2>
      <form class="send" onSubmit={submit}>
        <label>Subject<input name="subject" defaultValue={subject} key={subject} required autocapitalize="none" spellcheck={false} /></label>
        <label>Payload<textarea name="payload" rows={3} spellcheck={false} /></label>
        <details>
          <summary>Headers</summary>
          <label>One a line, as in Name: value<textarea name="headers" rows={2} spellcheck={false} /></label>
        </details>
        <p><button class="first" value="publish">Publish</button> <button value="request">Request</button></p>
      </form>
      <p role="status">{outcome.value}</p>
      {answer.value && <Payload heard={answer.value} form="text" />}
    </section>
  );
}

function header(line) {
  const colon = line.indexOf(":");
  if (colon < 1) throw new Error(`A header is Name: value, this is “${line}”.`);
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
}
