import { useEffect, useState } from "preact/hooks";
import { ask, link, sentence } from "../connection.js";
import { href, route } from "../route.js";
import { Device, Facts, State } from "./device.jsx";

const EVERY = 2000;

export function Devices() {
  const [told, setTold] = useState(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const look = async () => {
      if (link.value !== "up") return;
      try {
        setTold(await ask("devices"));
        setProblem("");
      } catch (error) {
        setProblem(sentence(error));
      }
    };
    look();
    const timer = setInterval(look, EVERY);
    return () => clearInterval(timer);
  }, []);
  const subject = route.value.item;
  if (subject) return <Device key={subject} subject={subject} device={told?.devices.find((one) => one.subject === subject)} asked={told !== null} />;
  return (
    <section>
      <h2>Devices</h2>
      {problem && <p role="alert">{problem}</p>}
      {told?.total === 0 && <p>No device has said that it is there.</p>}
      <ul class="plain">
        {Object.entries(told?.serial_faults ?? {}).map(([port, why]) => (
          <li key={port} class="state-fault"><span aria-hidden="true">■</span> {port}: {why}</li>
        ))}
      </ul>
      <ul class="cards">
        {(told?.devices ?? []).map((device) => (
          <li key={device.subject}>
            <h3><a href={href("devices", device.subject)}>{device.subject}</a> <State of={device.state} /></h3>
            <Facts device={device} />
          </li>
        ))}
      </ul>
    </section>
  );
}
