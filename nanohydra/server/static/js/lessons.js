// The lessons: a sentence and four steps each, why one was refused, and the way to forget one.
import { count, percent } from "./format.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { forget, searchLessons } from "./learning.js";
import { isOpen, numbersOf, progressOf, shortName } from "./lesson_text.js";

const FEW = 4; // lessons that are shown unasked; those under way always are
const PAUSE_MS = 150; // after the last key of a search

const Steps = ({ done, now, bad, words }) =>
  html`<div class=${`steps ${bad ? "bad" : ""}`} role="img" aria-label=${`${words}, ${done} of 4 steps done`}>
    ${[0, 1, 2, 3].map((step) => html`<i class=${step < done ? "d" : now && step === done ? "n" : ""}></i>`)}
  </div>`;

function Lesson({ lesson, job, numbers }) {
  const [asking, setAsking] = useState(false);
  const sure = useRef();
  const bin = useRef();
  const asked = useRef(false);
  useLayoutEffect(() => {
    if (asking) sure.current.focus();
    else if (asked.current) bin.current.focus();
    asked.current = asking;
  }, [asking]);
  const progress = progressOf(lesson, job);
  const why = lesson.reason ?? progress.why;
  const known = lesson.state === "live" && lesson.version;
  const note = known ? `${shortName(lesson.version, numbers)} · recall ${percent(lesson.recall)}` : progress.note;
  const onKeyDown = (event) => {
    if (event.key !== "Escape" || !asking) return;
    event.stopPropagation();
    setAsking(false);
  };
  return html`<li class="lesson" onKeyDown=${onKeyDown}>
    <p>${lesson.text}</p>
    <${Steps} ...${progress} />
    <div class=${`state ${progress.bad ? "bad" : ""}`}><b>${progress.words}</b><span>${note}</span></div>
    ${why && html`<p class="why">${why}</p>`}
    ${asking
      ? html`<div class="row sure">Forget this?
          <button ref=${sure} type="button" class="ghost" onClick=${() => forget(lesson)}>Forget</button>
          <button type="button" class="ghost" onClick=${() => setAsking(false)}>Keep</button>
        </div>`
      : html`<button ref=${bin} type="button" class="bin" aria-label=${`Forget: ${lesson.text}`} title="Forget" onClick=${() => setAsking(true)}><${Icon} name="bin" /></button>`}
  </li>`;
}

export function Lessons({ learning }) {
  const [all, setAll] = useState(false);
  const [words, setWords] = useState("");
  const { lessons, board } = learning;
  useEffect(() => {
    if (!all) return;
    const timer = setTimeout(() => searchLessons(words), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [words]);
  const jobs = new Map(board.jobs.map((job) => [job.id, job]));
  const numbers = numbersOf(board.timeline);
  const running = lessons.filter(({ job }) => isOpen(jobs.get(job)));
  const shown = all ? lessons : [...new Set([...running.slice(0, FEW), ...lessons.slice(0, FEW)])];
  const less = () => {
    setAll(!all);
    if (words) searchLessons("");
    setWords("");
  };
  return html`<section aria-label="Lessons">
    <h2>Lessons <span>${running.length ? `${running.length} running` : lessons.length ? count(lessons.length, "lesson") : ""}</span></h2>
    ${all && html`<input class="find-lesson" aria-label="Find a lesson" placeholder="Find a lesson" value=${words} onInput=${({ target }) => setWords(target.value)} />`}
    ${lessons.length === 0 && html`<p class="none">${words ? "Nothing found." : "Nothing yet. What you teach is usable at once, and in its weights a little later."}</p>`}
    <ul class="lessons">
      ${shown.map((lesson) => html`<${Lesson} key=${lesson.id} lesson=${lesson} job=${jobs.get(lesson.job)} numbers=${numbers} />`)}
    </ul>
    ${(all || lessons.length > shown.length) && html`<button type="button" class="text" onClick=${less}>${all ? "Show fewer" : `Show all ${lessons.length}`}</button>`}
  </section>`;
}
