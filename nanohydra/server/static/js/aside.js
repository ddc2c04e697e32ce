// The right column, all that the model learns: a drawer on narrow screens, and who asks on a conflict.
import { ago } from "./format.js";
import { Forgetting, LastTest } from "./forgetting.js";
import { html, useLayoutEffect, useRef } from "./html.js";
import { Icon } from "./icons.js";
import { settleConflict } from "./learning.js";
import { numbersOf } from "./lesson_text.js";
import { Lessons } from "./lessons.js";
import { Dialog, DialogHead } from "./panels.js";
import { get, set } from "./store.js";
import { Teach } from "./teach.js";
import { Records, Versions } from "./versions.js";

const WIDE = matchMedia("(min-width: 1081px)"); // as in layout.css
WIDE.addEventListener("change", () => set({ aside: null }));

// Shows the place to teach: opens the drawer where the column is one, else just goes there.
export function goTeach() {
  if (WIDE.matches) document.querySelector(".teach textarea, .teach input")?.focus();
  else set({ aside: "teach" });
}

export function Aside({ state }) {
  const { learning, aside } = state;
  const place = useRef();
  useLayoutEffect(() => {
    if (!aside) return;
    const before = document.activeElement;
    // Only who comes to teach gets the box, which brings up a phone's keyboard.
    const box = aside === "teach" && place.current.querySelector(".teach textarea, .teach input");
    (box || place.current.querySelector(".shut")).focus();
    return () => !get().panel && before?.focus();
  }, [aside]);
  const { board } = learning;
  const numbers = numbersOf(board.timeline);
  const [last] = board.timeline;
  return html`<aside id="learning" ref=${place} class=${aside ? "open" : ""} aria-label="Learning">
    <button type="button" class="shut" aria-label="Close" onClick=${() => set({ aside: null })}><${Icon} name="close" /></button>
    <${Teach} />
    <${Lessons} learning=${learning} />
    <${Forgetting} board=${board} numbers=${numbers} />
    ${last && html`<${LastTest} entry=${last} name=${`v${board.timeline.length}`} when=${ago(last.time)} />`}
    <${Versions} learning=${learning} numbers=${numbers} />
    <${Records} board=${board} numbers=${numbers} />
  </aside>`;
}

export const ConflictPanel = ({ conflict }) =>
  html`<${Dialog} kind="sheet" label="This contradicts an earlier lesson">
    <${DialogHead} title="This contradicts an earlier lesson" />
    <div class="fields">
      ${conflict.conflicts.map(({ text, earlier }) =>
        html`<dl class="versus"><dt>Now</dt><dd>${text}</dd><dt>Earlier</dt><dd>${earlier.text}</dd></dl>`)}
      <div class="row">
        <button type="button" class="solid" autofocus onClick=${() => settleConflict("replace")}>Replace the earlier</button>
        <button type="button" class="ghost" onClick=${() => settleConflict("keep_both")}>Keep both</button>
        <button type="button" class="ghost" onClick=${() => settleConflict("reject")}>Reject the new</button>
      </div>
    </div>
  <//>`;
