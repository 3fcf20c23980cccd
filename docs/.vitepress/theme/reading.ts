// # Reading with the source in view
//
// While the chapter scrolls, the panel beside it shows the source that the statement at reading
// height cites, at the cited heading. Letters of formulas and the names that stand for them in the
// code light up together.

/** Which names in the code stand for a letter of the formulas. */
const names: Readonly<Record<string, readonly string[]>> = {
  x: ["x", "X", "input", "plane"],
  y: ["y", "Y"],
  h: ["y", "Y"],
  w: ["w", "Wt", "weight", "factor"],
  v: ["weight"],
  b: ["bias"],
  s: ["stride"],
  p: ["padding", "p"],
  d: ["dilation", "divisor"],
  k: ["kernel", "kernelSize"],
  g: ["groups"],
  N: ["N"],
  C: ["C", "channels"],
  O: ["O", "outChannels"],
  H: ["H", "height", "rows"],
  W: ["W", "width", "columns"],
  K: ["K"],
  L: ["L"],
  μ: ["mean"],
  σ: ["variance", "inverse"],
  γ: ["weight"],
  β: ["bias"],
  ε: ["eps"],
};

const lettersOf = new Map<string, string[]>();
for (const [letter, list] of Object.entries(names))
  for (const name of list) lettersOf.set(name, [...(lettersOf.get(name) ?? []), letter]);

/** Starts following the page that is shown; returns how to stop. */
export function follow(page: Document): () => void {
  const reading = page.querySelector<HTMLElement>(".reading");
  const panel = reading?.querySelector<HTMLElement>(".sources");
  if (!reading || !panel) return () => {};
  const statements = [...reading.querySelectorAll<HTMLElement>(".statement")];
  markLetters(reading);

  let shown = "";
  const show = (path: string, id: string) => {
    for (const article of panel.querySelectorAll<HTMLElement>("article"))
      article.classList.toggle("shown", article.dataset.path === path);
    const target = page.getElementById(id);
    if (target === null || shown === id) return;
    shown = id;
    for (const heading of panel.querySelectorAll(".cited")) heading.classList.remove("cited");
    target.classList.add("cited");
    // Only the panel scrolls, never the page.
    if (getComputedStyle(panel).position === "sticky")
      panel.scrollTop +=
        target.getBoundingClientRect().top - panel.getBoundingClientRect().top - 44;
  };

  const onScroll = () => {
    const height = window.innerHeight * 0.4;
    let current = statements[0] as HTMLElement | undefined;
    for (const s of statements) if (s.getBoundingClientRect().top < height) current = s;
    if (current === undefined || current.classList.contains("current")) return;
    for (const s of statements) s.classList.toggle("current", s === current);
    show(current.dataset.path!, current.dataset.target!);
  };
  const onClick = (event: MouseEvent) => {
    const link = (event.target as HTMLElement).closest<HTMLAnchorElement>(".source-link");
    if (link === null || getComputedStyle(panel).position !== "sticky") return;
    event.preventDefault();
    event.stopPropagation();
    show(link.dataset.path!, link.hash.slice(1));
  };
  const onOver = (event: MouseEvent) => {
    const letters = (event.target as HTMLElement).closest<HTMLElement>("[data-letters]");
    for (const lit of reading.querySelectorAll(".lit")) lit.classList.remove("lit");
    if (letters === null) return;
    const wanted = letters.dataset.letters!.split(" ");
    for (const mark of reading.querySelectorAll<HTMLElement>("[data-letters]"))
      if (mark.dataset.letters!.split(" ").some((l) => wanted.includes(l)))
        mark.classList.add("lit");
  };

  if (statements.length === 0) panel.querySelector("article")?.classList.add("shown");
  onScroll();
  window.addEventListener("scroll", onScroll, { passive: true });
  reading.addEventListener("click", onClick, true);
  reading.addEventListener("mouseover", onOver);
  return () => {
    window.removeEventListener("scroll", onScroll);
    reading.removeEventListener("click", onClick, true);
    reading.removeEventListener("mouseover", onOver);
  };
}

/** Marks every letter of a formula, and every name in the code that stands for one. */
function markLetters(reading: HTMLElement): void {
  for (const span of reading.querySelectorAll<HTMLElement>(".katex-html .mathnormal")) {
    const letter = span.textContent;
    if (letter in names) span.dataset.letters = letter;
  }
  for (const span of reading.querySelectorAll<HTMLElement>(".sources pre code .line > span")) {
    const letters = lettersOf.get(span.textContent.trim());
    if (letters !== undefined) span.dataset.letters = letters.join(" ");
  }
}
