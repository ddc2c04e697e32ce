// The lines of one strategy alone, in all charts of its run. Without it the charts are still whole.
for (const run of document.querySelectorAll(".run")) {
  const buttons = [...run.querySelectorAll(".legend button")];
  let kept = null;
  const show = (name) => {
    run.classList.toggle("focused", name !== null);
    for (const mark of run.querySelectorAll("[data-s]")) mark.classList.toggle("on", mark.dataset.s === name);
  };
  for (const button of buttons) {
    const name = button.dataset.s;
    button.addEventListener("pointerenter", () => show(name));
    button.addEventListener("pointerleave", () => show(kept));
    button.addEventListener("click", () => {
      kept = kept === name ? null : name;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other.dataset.s === kept));
      show(kept);
    });
  }
}
