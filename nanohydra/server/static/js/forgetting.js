// "Has it forgotten?": recall of every lesson after every version, as a sentence, lines and a table.
import { count, percent } from "./format.js";
import { html } from "./html.js";
import { checkOf, shortName } from "./lesson_text.js";

const [WIDTH, TOP, BOTTOM] = [304, 14, 88];
const MANY = 40; // lines; more of them would only be a grey area

const known = (value) => value !== null && value !== undefined;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// The mean recall after each version of all lessons that were asked then; null where none was.
export const meansOf = (matrix) =>
  matrix.map((row) => (row.some(known) ? mean(row.filter(known)) : null));

// The answer in words.
export function verdictOf(curves, versions) {
  const last = curves.map(({ title, recall_by_version: values }) => ({ title, value: values.findLast(known) }));
  const asked = last.filter(({ value }) => known(value));
  if (!asked.length) return "Nothing has been tested yet.";
  const worst = asked.reduce((low, each) => (each.value < low.value ? each : low));
  const after = `after ${count(versions, "version")}`;
  if (worst.value >= 0.995) return `No. ${asked.length === 1 ? "The lesson is" : `All ${asked.length} lessons are`} still recalled ${after}.`;
  const all = mean(asked.map(({ value }) => value));
  return `${all >= 0.95 ? "Hardly" : "In part"}: ${percent(all)} is recalled ${after}; least of “${worst.title}”, ${percent(worst.value)}.`;
}

const x = (index, length) => (length < 2 ? WIDTH / 2 : 6 + (index * (WIDTH - 12)) / (length - 1));
const y = (value) => BOTTOM - value * (BOTTOM - TOP);

function path(values) {
  let pen = "M";
  return values
    .map((value, index) => {
      if (!known(value)) return "";
      const point = `${pen}${x(index, values.length).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return point;
    })
    .join("");
}

function Chart({ curves, means, label }) {
  return html`<svg class="chart" viewBox=${`0 0 ${WIDTH} 96`} role="img" aria-label=${label}>
    <g class="grid"><path d=${[1, 0.5, 0].map((value) => `M0 ${y(value)}H${WIDTH}`).join("")} /></g>
    <g class="each">${curves.slice(-MANY).map(({ lesson, recall_by_version: values }) => html`<path key=${lesson} d=${path(values)} />`)}</g>
    <path class="mean" d=${path(means)} />
    <g class="dots">
      ${means.map((value, index) =>
        known(value) && html`<circle key=${index} cx=${x(index, means.length)} cy=${y(value)} r="2.6"><title>${percent(value)}</title></circle>`)}
    </g>
    <text x="0" y="10">100%</text><text x="0" y=${y(0.5) - 3}>50%</text>
  </svg>`;
}

const Table = ({ curves, matrix, names }) =>
  html`<details>
    <summary>Every lesson after every version</summary>
    <div class="scroll" tabindex="0"><table>
      <thead><tr><th scope="col">Lesson</th>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>
        ${curves.map(({ lesson, title, recall_by_version: values }) =>
          html`<tr key=${lesson}><th scope="row" title=${title}>${title}</th>${matrix.map((_, index) => html`<td>${percent(values[index])}</td>`)}</tr>`)}
      </tbody>
    </table></div>
  </details>`;

export function Forgetting({ board, numbers }) {
  const { forgetting: curves, matrix, timeline } = board;
  if (!matrix.length) return null;
  const verdict = verdictOf(curves, matrix.length);
  const made = timeline.filter(({ state }) => state !== "refused").map(({ version }) => version).reverse();
  const names = (board.versions ?? made).map((version) => shortName(version, numbers));
  return html`<section aria-label="Has it forgotten?">
    <h2>Has it forgotten? <span>after ${count(matrix.length, "version")}</span></h2>
    <${Chart} curves=${curves} means=${meansOf(matrix)} label=${verdict} />
    <p class="verdict">${verdict}</p>
    <${Table} curves=${curves} matrix=${matrix} names=${names} />
  </section>`;
}

// What the gate measured of the latest version, refused or not.
export function LastTest({ entry, name, when }) {
  const checks = Object.entries(entry?.gate ?? {});
  if (!checks.length) return null;
  return html`<section aria-label="Last test">
    <h2>Last test <span>${name}, ${when}</span></h2>
    <dl class="tests">
      ${checks.map(([check, measured]) => {
        const { label, text, detail } = checkOf(check, measured);
        return html`<dt title=${detail}>${label}</dt>
          <dd class=${measured.passed ? "ok" : "bad"} title=${detail}>${text}<span class="unseen">${measured.passed ? " passed" : ` failed: ${detail}`}</span></dd>`;
      })}
    </dl>
  </section>`;
}
