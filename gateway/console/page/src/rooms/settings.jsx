// The configuration in force as far as it is not the default one, and what a reload would change. It is shown, not edited.
import { useEffect, useState } from "preact/hooks";
import { ask, sentence } from "../connection.js";
import { count } from "../words.js";

export function Settings() {
  const [told, setTold] = useState(null);
  const [problem, setProblem] = useState("");
  const look = async () => {
    try {
      setTold(await ask("settings"));
      setProblem("");
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  useEffect(() => {
    look();
  }, []);
  return (
    <>
      <section>
        <h2>What a reload would change</h2>
        {problem && <p role="alert">{problem}</p>}
        {told === null && !problem && <p>Looking …</p>}
        {told?.refused && <p class="state-fault"><span aria-hidden="true">■</span> It would be refused: {told.refused}</p>}
        {told && !told.refused && told.pending.length === 0 && <p>Nothing: the file is what is in force.</p>}
        {told?.pending.length > 0 && <Changes changes={told.pending} signs />}
        <p><button onClick={look}>Look again</button></p>
      </section>
      <section>
        <h2>In force</h2>
        <p>What is not as by default, without secrets.</p>
        {told?.total > told?.set.length && <p>The first {count(told.set.length)} of {count(told.total)}.</p>}
        {told && <Changes changes={told.set} />}
      </section>
    </>
  );
}

function Changes({ changes, signs }) {
  return (
    <dl>
      {changes.map((one, index) => <div key={index}><dt>{one.key}</dt><dd>{signs ? `${one.sign} ${one.text}` : value(one.text)}</dd></div>)}
    </dl>
  );
}

// Behind the arrow stands what is in force.
function value(text) {
  return text === "changed" ? "set" : text.split(" → ").at(-1);
}
