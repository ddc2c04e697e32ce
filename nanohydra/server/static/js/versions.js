// The versions of what is learned: which is live, one click back, the library, jobs and the ledger.
import { ago, count } from "./format.js";
import { html, useState } from "./html.js";
import { cancel, isOpen, removeVersion, rollBack, switchTo } from "./learning.js";
import { shortName } from "./lesson_text.js";

const FEW = 5;
const LEDGER = 50; // of its latest lines

// Going to an entry: the last change undone where that leads there, else its set of versions.
function wayTo(entry, aliases) {
  const alias = aliases.find(({ name }) => name === entry.alias);
  if (!alias || entry.state === "refused" || !entry.set?.length) return null;
  const same = (one, other) => one?.length === other.length && one.every((id, place) => id === other[place]);
  if (same(alias.versions, entry.set)) return null;
  const back = !alias.versions.includes(entry.set[0]) ? "Bring back" : "Roll back";
  const go = same(alias.history.at(-1), entry.set) && back === "Roll back"
    ? () => rollBack(entry.alias)
    : () => switchTo(entry.alias, entry.set);
  return { back, go };
}

function Version({ entry, name, aliases }) {
  const way = wayTo(entry, aliases);
  const lessons = Array.isArray(entry.lessons) ? entry.lessons.length : entry.lessons;
  const what = entry.state === "refused" ? "refused" : lessons === undefined ? entry.state : count(lessons, "lesson");
  return html`<li>
    <span class=${`k ${entry.state}`} role="img" aria-label=${entry.state}></span>
    <span>${name} · ${what} <small>${ago(entry.time)}</small></span>
    ${way ? html`<button type="button" class="text" aria-label=${`${way.back} to ${name}`} onClick=${way.go}>${way.back}</button>` : html`<code>${entry.version.slice(0, 6)}</code>`}
  </li>`;
}

export function Versions({ learning, numbers }) {
  const [all, setAll] = useState(false);
  const { board, aliases } = learning;
  const live = aliases.find(({ versions }) => versions.length);
  const shown = all ? board.timeline : board.timeline.slice(0, FEW);
  if (!board.timeline.length) return null;
  return html`<section aria-label="Versions">
    <h2>Versions <span>${live ? live.name : "the base answers"}</span></h2>
    <ol class="versions">
      ${shown.map((entry, index) => html`<${Version} key=${`${entry.version}-${index}`} entry=${entry} name=${shortName(entry.version, numbers)} aliases=${aliases} />`)}
      ${live && html`<li key="base"><span class="k" role="img" aria-label="archived"></span><span>base · nothing learned</span>
        <button type="button" class="text" aria-label="Roll back to the base" onClick=${() => switchTo(live.name, [])}>Roll back</button></li>`}
    </ol>
    ${board.timeline.length > FEW && html`<button type="button" class="text" onClick=${() => setAll(!all)}>${all ? "Show fewer" : `Show all ${board.timeline.length}`}</button>`}
  </section>`;
}

const Library = ({ board, numbers }) =>
  html`<details>
    <summary>Adapter library <small>${board.library.length}</small></summary>
    <ul class="rows">
      ${board.library.map(({ version, alias, live, bytes, lessons, created }) =>
        html`<li key=${version}>
          <span><b>${shortName(version, numbers)}</b> <code>${version.slice(0, 12)}</code>
            <small>${alias}, ${count(lessons.length ?? lessons, "lesson")}, ${Math.ceil(bytes / 1024)} kB, ${ago(created)}</small></span>
          ${live ? html`<small>live</small>` : html`<button type="button" class="text" aria-label=${`Delete version ${shortName(version, numbers)}`} onClick=${() => removeVersion(version)}>Delete</button>`}
        </li>`)}
    </ul>
  </details>`;

const Jobs = ({ jobs }) =>
  html`<details>
    <summary>Jobs <small>${jobs.length}</small></summary>
    <ul class="rows">
      ${jobs.map((job) =>
        html`<li key=${job.id}>
          <span><b>${job.state}</b> <small>${count(job.lessons.length, "lesson")}, ${job.events.at(-1)?.text}</small></span>
          ${isOpen(job)
            ? html`<button type="button" class="text" aria-label=${`Cancel the job of ${count(job.lessons.length, "lesson")}`} onClick=${() => cancel(job.id)}>Cancel</button>`
            : html`<small>${ago(job.events.at(-1)?.time ?? job.created)}</small>`}
        </li>`)}
    </ul>
  </details>`;

const Ledger = ({ ledger }) =>
  html`<details>
    <summary>Ledger <small>${ledger.length}</small></summary>
    <ol class="rows">
      ${ledger.slice(0, LEDGER).map(({ time, event, text }, index) =>
        html`<li key=${ledger.length - index}><span><b>${event}</b> <small>${text}</small></span><small>${ago(time)}</small></li>`)}
    </ol>
  </details>`;

export const Records = ({ board, numbers }) =>
  html`<section class="records" aria-label="Records">
    <${Library} board=${board} numbers=${numbers} />
    <${Jobs} jobs=${board.jobs} />
    <${Ledger} ledger=${board.ledger} />
  </section>`;
