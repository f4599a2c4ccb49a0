import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ask, link, sentence } from "../connection.js";
import { Sparkline } from "../plot.jsx";
import { change, href, route } from "../route.js";
import { asSubject, bytes, count, rate } from "../words.js";
import { Message } from "./message.jsx";
import { Send } from "./send.jsx";

const EVERY = 1000;
const MOST_OPEN = 32;
const MOST_REMEMBERED = 1000;
const POINTS = 60;
// So many are counted.
const MOST_COUNTED = 1000;

export function Subjects() {
  const { item, query } = route.value;
  const filter = query.get("filter") ?? "";
  const open = ["", ...(query.get("open") ?? "").split(",").filter(Boolean)].slice(0, MOST_OPEN);
  const told = useSignal(null);
  const problem = useSignal("");
  const paused = useSignal(false);
  const courses = useRef(new Map());
  const asked = JSON.stringify(filter ? { filter: asSubject(filter) } : { open });

  useEffect(() => {
    let stopped = false;
    const look = async () => {
      if (link.value !== "up" || (paused.value && told.value)) return;
      try {
        const answer = await ask("subjects", JSON.parse(asked));
        if (stopped) return;
        remember(courses.current, answer);
        told.value = answer;
        problem.value = "";
      } catch (error) {
        if (!stopped) problem.value = sentence(error);
      }
    };
    look();
    const timer = setInterval(look, EVERY);
    return () => {
      stopped = true;
      clearInterval(timer);
    };
  }, [asked]);

  const toggle = (path) => {
    const others = open.filter((one) => one && one !== path);
    change({ open: (open.includes(path) ? others : [...others, path]).join(",") });
  };
  return (
    <>
      {item && <Message key={item} subject={item} />}
      <section>
        <h2>Subjects</h2>
        <form class="tools" onSubmit={(event) => event.preventDefault()}>
          <label>Filter<input type="search" value={filter} placeholder="a.*.c or a/+/c" autocapitalize="none" spellcheck={false} onInput={(event) => change({ filter: event.currentTarget.value })} /></label>
          <button type="button" aria-pressed={paused.value} onClick={() => { paused.value = !paused.value; }}>{paused.value ? "Go on" : "Pause"}</button>
        </form>
        {problem.value && <p role="alert">{problem.value}</p>}
        <p>{summary(told.value, filter)}</p>
        {told.value?.found && <ul class="tree">{told.value.found.map((line) => <Line key={line.subject} line={line} name={line.subject} courses={courses.current} />)}</ul>}
        {told.value?.open && <Branch path="" told={told.value} open={open} toggle={toggle} courses={courses.current} />}
      </section>
      <Send subject={item} />
    </>
  );
}

function summary(told, filter) {
  if (told === null) return "Listening …";
  const known = `${count(told.subjects)} subjects since somebody looks`;
  const more = told.left_out > 0 ? `; ${count(told.left_out)} messages on others were not looked at` : "";
  return filter && told.found ? `${count(told.matching)}${told.matching >= MOST_COUNTED ? " or more" : ""} of ${known}${told.matching > told.found.length ? `, the first ${told.found.length} are shown` : ""}${more}.` : `${known}${more}.`;
}

function Branch({ path, told, open, toggle, courses }) {
  const lines = told.open[path] ?? [];
  return (
    <ul class="tree">
      {lines.map((line) => {
        const here = path ? `${path}.${line.token}` : line.token;
        return (
          <Line key={here} line={line} name={line.token} courses={courses} path={here} isOpen={open.includes(here)} toggle={toggle}>
            {open.includes(here) && <Branch path={here} told={told} open={open} toggle={toggle} courses={courses} />}
          </Line>
        );
      })}
      {told.hidden[path] > 0 && <li class="quiet">{count(told.hidden[path])} more: a filter finds them.</li>}
    </ul>
  );
}

function Line({ line, name, courses, path, isOpen, toggle, children }) {
  const course = courses.get(line.subject);
  return (
    <li>
      <div class="leaf">
        {line.below > 0 ? (
          <button class="token" aria-expanded={isOpen} onClick={() => toggle(path)}>
            <span aria-hidden="true">{isOpen ? "▾" : "▸"}</span> {name} <span class="quiet">{count(line.below)}</span>
          </button>
        ) : null}
        {line.subject && (
          <a class="value" href={href("subjects", line.subject, Object.fromEntries(route.value.query))}>
            {line.below > 0 ? null : <b>{name}</b>}
            <span class="text">{line.value ?? (line.hex ? `0x${line.hex}` : "")}</span>
            {course && <Sparkline values={course.values} label={`Course of ${line.subject}`} />}
            <span class="numbers">{line.retained && "retained, "}{rate(course?.rate ?? 0)}/s, {bytes(line.size)}</span>
          </a>
        )}
      </div>
      {children}
    </li>
  );
}

// Keeps the course of numbers and the rates of what was shown; the oldest are forgotten first.
function remember(courses, answer) {
  const at = performance.now() / 1000;
  const lines = answer.found ?? Object.values(answer.open).flat();
  for (const line of lines) {
    if (!line.subject) continue;
    const last = courses.get(line.subject);
    courses.delete(line.subject);
    const number = line.value?.trim() ? Number(line.value) : NaN;
    const values = Number.isFinite(number) ? [...(last?.values ?? []), number].slice(-POINTS) : [];
    const grown = last && line.n >= last.n ? (line.n - last.n) / (at - last.at) : 0;
    courses.set(line.subject, { at, n: line.n, rate: grown, values });
  }
  while (courses.size > MOST_REMEMBERED) courses.delete(courses.keys().next().value);
}
