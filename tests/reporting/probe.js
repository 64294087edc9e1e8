// What a person would complain about on the page: found by its boxes, told as lists of words.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const box = element => element.getBoundingClientRect();
  const seen = element => element.checkVisibility() && box(element).width > 0;
  const slack = 1;
  const beyond = (inner, outer) => inner.left < outer.left - slack || inner.right > outer.right + slack;
  const above = (inner, outer) => inner.top < outer.top - slack || inner.bottom > outer.bottom + slack;

  // Text of a chart that leaves its card sideways, or its own panel up or down.
  const cut = all(".chart svg text").filter(seen).filter(text =>
    beyond(box(text), box(text.closest(".card"))) || above(box(text), box(text.closest(".panel"))));
  // Two texts of one chart over each other; a value and its halo say the same.
  const over = [];
  for (const chart of all(".chart svg")) {
    const texts = all("text", chart).filter(seen);
    texts.forEach((one, i) => texts.slice(i + 1).forEach(other => {
      const [a, b] = [box(one), box(other)];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 4 && one.textContent !== other.textContent)
        over.push(`${one.textContent} | ${other.textContent}`);
    }));
  }
  // Anything that sticks out of its card, but in a table that scrolls and says so.
  const outside = all(".card, main").flatMap(card => all("*", card).filter(seen)
    .filter(part => !part.closest(".table") && !part.closest("svg"))
    .filter(part => beyond(box(part), box(card))));
  const silent = all(".scroller").filter(seen).filter(scroller => {
    const table = scroller.querySelector(".table");
    return table.scrollWidth > table.clientWidth + 1 && !seen(scroller.querySelector(".hint"));
  });
  const hidden = all("main *").filter(seen).filter(part =>
    !part.closest(".table") && !part.closest("svg") &&
    getComputedStyle(part).overflowX !== "visible" && part.scrollWidth > part.clientWidth + 1);
  const name = part => `${part.tagName}.${part.className.baseVal ?? part.className}`;
  return {
    charts: all(".chart").length,
    undrawn: all(".chart").filter(chart => !chart.querySelector("svg")).length,
    empty: all(".chart svg").filter(svg => all("[class*=mark-] path, .mark-line path", svg)
      .filter(path => path.getBBox().width + path.getBBox().height > 0).length < 2).length,
    cut: cut.map(text => text.textContent),
    over,
    outside: outside.map(name),
    silent: silent.map(part => part.textContent.slice(0, 60)),
    hidden: hidden.map(name),
    sideways: document.documentElement.scrollWidth - innerWidth,
  };
})()
