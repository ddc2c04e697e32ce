// The value under the pointer, for every chart of the page. Without it the charts are still whole.
for (const chart of document.querySelectorAll(".chart")) {
  const lines = JSON.parse(chart.querySelector("script").textContent);
  const box = chart.querySelector(".box");
  const output = chart.querySelector("output");
  const final = output.textContent;
  const add = (name) => box.appendChild(Object.assign(document.createElement("i"), { className: name, hidden: true }));
  const cursor = add("cursor");
  const marks = lines.map(() => add("mark"));
  const byTime = chart.closest(".by-seconds") !== null;
  const place = (x) => (byTime ? `${Math.floor(x / 60)}:${String(Math.floor(x % 60)).padStart(2, "0")}` : `step ${x.toLocaleString("en")}`);

  box.addEventListener("pointermove", (event) => {
    const area = box.getBoundingClientRect();
    const at = (100 * (event.clientX - area.left)) / area.width;
    const nearest = lines.map(({ points }) => points.reduce((a, b) => (Math.abs(b[2] - at) < Math.abs(a[2] - at) ? b : a)));
    const closest = nearest.reduce((a, b) => (Math.abs(b[2] - at) < Math.abs(a[2] - at) ? b : a));
    chart.classList.add("reading");
    cursor.hidden = false;
    cursor.style.left = `${closest[2]}%`;
    nearest.forEach((point, index) => {
      marks[index].hidden = false;
      Object.assign(marks[index].style, { left: `${point[2]}%`, top: `${point[3]}%` });
    });
    const values = nearest.map((point, index) => (lines.length > 1 ? `${lines[index].name} ` : "") + point[1].toLocaleString("en", { maximumSignificantDigits: 4 }));
    output.textContent = `${place(closest[0])} · ${values.join(" · ")}`;
  });
  box.addEventListener("pointerleave", () => {
    for (const element of [cursor, ...marks]) element.hidden = true;
    chart.classList.remove("reading");
    output.textContent = final;
  });
}
