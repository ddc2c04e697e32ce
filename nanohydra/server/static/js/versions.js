// The versions of what is learned: which is live, one click back, the library, jobs and the ledger.
import { ago, count } from "./format.js";
import { html, useState } from "./html.js";
import { cancel, removeVersion, rollBack, switchTo } from "./learning.js";
import { isOpen, shortName } from "./lesson_text.js";

const FEW = 5;
const LEDGER = 50; // of its latest lines

const isLive = ({ version }, aliases) => aliases.some(({ versions }) => versions.includes(version));

// The set of versions that an alias meant once an entry was new, and the word for going there.
function wayTo(entry, aliases, library) {
  const alias = aliases.find(({ name }) => name === entry.alias);
  const set = alias?.history.findLast(([newest]) => newest === entry.version);
  if (!set || entry.state === "refused") return null;
  const there = new Set(library.map(({ version }) => version)); // deleted lessons take theirs with them
  const left = set.filter((version) => there.has(version));
  if (!there.has(entry.version) || String(left) === String(alias.versions)) return null;
  const words = isLive(entry, aliases) ? "Roll back" : "Bring back";
  return { words, go: () => switchTo(alias.name, left) };
}

function Version({ entry, name, aliases, library }) {
  const way = wayTo(entry, aliases, library);
  const lessons = Array.isArray(entry.lessons) ? entry.lessons.length : entry.lessons;
  const refused = entry.state === "refused";
  const state = refused ? "refused" : isLive(entry, aliases) ? "live" : "archived";
  return html`<li>
    <span class=${`k ${state}`} role="img" aria-label=${state}></span>
    <span>${name} · ${refused ? "refused" : count(lessons, "lesson")} <small>${ago(entry.time)}</small></span>
    ${way
      ? html`<button type="button" class="text" aria-label=${`${way.words}: ${name}`} onClick=${way.go}>${way.words}</button>`
      : html`<code>${(entry.version ?? "").slice(0, 6)}</code>`}
  </li>`;
}

export function Versions({ learning, numbers }) {
  const [all, setAll] = useState(false);
  const { board, aliases } = learning;
  const last = aliases.find(({ history }) => history.length);
  const live = aliases.find(({ versions }) => versions.length);
  const shown = all ? board.timeline : board.timeline.slice(0, FEW);
  if (!board.timeline.length) return null;
  return html`<section aria-label="Versions">
    <h2>Versions
      ${last ? html`<button type="button" class="text" onClick=${() => rollBack(last.name)}>Undo the last change</button>` : html`<span>the base answers</span>`}
    </h2>
    <ol class="versions">
      ${shown.map((entry, index) => html`<${Version} key=${`${entry.version}-${index}`} entry=${entry} name=${`v${board.timeline.length - index}`} aliases=${aliases} library=${board.library} />`)}
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
            <small class="line">${[alias, count(lessons.length ?? lessons, "lesson"), `${Math.ceil(bytes / 1024)} kB`, ago(created)].filter(Boolean).join(", ")}</small></span>
          ${live ? html`<small>live</small>` : html`<button type="button" class="text" aria-label=${`Delete version ${shortName(version, numbers)}`} onClick=${() => removeVersion(version)}>Delete</button>`}
        </li>`)}
    </ul>
  </details>`;

const aboutJob = ({ lessons, events, state, reason }) =>
  [count(lessons.length, "lesson"), reason ?? events.at(-1)?.text].filter((text) => text && text !== state).join(", ");

const Jobs = ({ jobs }) =>
  html`<details>
    <summary>Jobs <small>${jobs.length}</small></summary>
    <ul class="rows">
      ${jobs.map((job) =>
        html`<li key=${job.id}>
          <span><b>${job.state}</b> <small>${aboutJob(job)}</small></span>
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
      ${ledger.slice(0, LEDGER).map(({ time, event, step = event, text }, index) =>
        html`<li key=${ledger.length - index}><span><b>${step}</b> ${text !== step && html`<small>${text}</small>`}</span><small>${ago(time)}</small></li>`)}
    </ol>
  </details>`;

export const Records = ({ board, numbers }) =>
  html`<section class="records" aria-label="Records">
    <${Library} board=${board} numbers=${numbers} />
    <${Jobs} jobs=${board.jobs} />
    <${Ledger} ledger=${board.ledger} />
  </section>`;
