import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import { begin, leave, link, lostAt } from "./connection.js";
import { Login } from "./login.jsx";
import { Clients } from "./rooms/clients.jsx";
import { Devices } from "./rooms/devices.jsx";
import { Now } from "./rooms/now.jsx";
import { Settings } from "./rooms/settings.jsx";
import { Streams } from "./rooms/streams.jsx";
import { Subjects } from "./rooms/subjects.jsx";
import { href, route } from "./route.js";
import { keepAsking, lines, notice, now } from "./state.js";
import { span } from "./words.js";

const ROOMS = {
  now: ["Now", Now, "M4 13h4l3-8 4 14 3-6h2"],
  subjects: ["Subjects", Subjects, "M5 4v13h6M5 10h6M14 8h6v4h-6zM14 15h6v4h-6z"],
  clients: ["Clients", Clients, "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM2 21c0-5 3-7 7-7s7 2 7 7M16 4a4 4 0 0 1 0 7M18 14c3 1 4 3 4 7"],
  devices: ["Devices", Devices, "M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4"],
  streams: ["Streams", Streams, "M4 6c0-4 16-4 16 0v12c0 4-16 4-16 0zM4 6c0 4 16 4 16 0M4 12c0 4 16 4 16 0"],
};
// Seldom needed: its way in is beside the gateway's name.
const SIDE_ROOMS = { settings: ["Settings", Settings] };
const SHAPES = { well: "●", warning: "▲", fault: "■" };
const WORDS = { well: "Well", warning: "Warning", fault: "Fault" };

function App() {
  if (link.value === "unknown") return <main class="alone" aria-busy="true">Looking for the gateway …</main>;
  if (now.value === null || link.value === "login" || link.value === "connecting") return <Login />;
  const rooms = { ...ROOMS, ...SIDE_ROOMS };
  const room = rooms[route.value.room] ? route.value.room : "now";
  const [title, Room] = rooms[room];
  document.title = `${title} – ${now.value.server.name} – leafgate`;
  return (
    <div class="frame">
      <a class="skip" href="#main" onClick={toMain}>To the content</a>
      <header>
        <Headline />
        <div class="who">
          <span>{now.value.server.name}</span>
          <a class="aside" href={href("settings")} aria-current={room === "settings" ? "page" : undefined}>Settings</a>
          {now.value.you.user && <button class="quiet" onClick={leave}>Log out {now.value.you.user}</button>}
        </div>
      </header>
      <nav aria-label="Rooms">
        {Object.entries(ROOMS).map(([name, [label, , icon]]) => (
          <a key={name} href={href(name)} aria-current={name === room ? "page" : undefined}>
            <svg viewBox="0 0 24 24" aria-hidden="true"><path d={icon} /></svg>
            {label}
          </a>
        ))}
      </nav>
      <main id="main" tabIndex={-1} class={link.value === "lost" ? "stale" : ""}>
        <h1 class="hidden">{title}</h1>
        <Room />
      </main>
    </div>
  );
}

function toMain(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Headline() {
  if (link.value === "lost") {
    return (
      <p class="headline lost" role="status">
        <span class="state"><span aria-hidden="true">◌</span> Not connected</span>
        The gateway does not answer since {span((Date.now() - lostAt.value) / 1000)}. What is shown was so before. It is tried again by itself.
      </p>
    );
  }
  const [worst, ...rest] = lines.value;
  return (
    <p class={`headline ${worst.level}`} role="status">
      <span class="state"><span aria-hidden="true">{SHAPES[worst.level]}</span> {WORDS[worst.level]}</span>
      {worst.room ? <a href={href(worst.room)}>{worst.text}</a> : worst.text}
      {worst.todo && <span class="todo"> {worst.todo}</span>}
      {rest.length > 0 && <span class="todo"> And {rest.length} more: see Now.</span>}
      {notice.value && <span class="todo"> {notice.value}</span>}
    </p>
  );
}

render(<App />, document.getElementById("app"));
begin();
keepAsking();
