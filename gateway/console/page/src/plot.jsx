import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

const HEIGHT = 152;
const dark = matchMedia("(prefers-color-scheme: dark)");

// Areas over time, with a cursor that plots of the same `group` share. `shown` are [key, label, CSS variable].
export function Plot({ label, shown, times, values, group }) {
  const place = useRef(null);
  const plot = useRef(null);
  const data = () => [times, ...shown.map(([key]) => values[key])];
  useEffect(() => {
    const box = place.current;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(box, shown, group), data(), box);
    };
    make();
    const watcher = new ResizeObserver(() => plot.current?.setSize({ width: box.clientWidth, height: HEIGHT }));
    watcher.observe(box);
    dark.addEventListener("change", make);
    return () => {
      watcher.disconnect();
      dark.removeEventListener("change", make);
      plot.current.destroy();
      plot.current = null;
    };
  }, []);
  useEffect(() => plot.current?.setData(data()));
  return <div class="plot" ref={place} role="img" aria-label={label} />;
}

function options(place, shown, group) {
  const style = getComputedStyle(place);
  const color = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: `12px ${style.fontFamily}` };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: group }, drag: { x: false, y: false }, points: { size: 5 } },
    scales: { y: { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
    axes: [{ ...axis, size: 28, space: 72, values: (_, times) => times.map(clock) }, { ...axis, size: 48 }],
    series: [
      {},
      ...shown.map(([, label, name]) => ({ label, stroke: color(name), fill: `${color(name)}22`, width: 2, points: { show: false } })),
    ],
  };
}

function clock(seconds) {
  return new Date(1000 * seconds).toLocaleTimeString("en", { hourCycle: "h23" });
}

// The course of a number, as wide as a word.
export function Sparkline({ values, label }) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return <svg class="spark" aria-hidden="true" />;
  const low = Math.min(...known);
  const height = Math.max(...known) - low || 1;
  const points = known.map((value, index) => `${((index * 78) / (known.length - 1) + 1).toFixed(1)},${(19 - (18 * (value - low)) / height).toFixed(1)}`);
  return (
    <svg class="spark" viewBox="0 0 80 20" role="img" aria-label={label}>
      <polyline points={points.join(" ")} />
    </svg>
  );
}
