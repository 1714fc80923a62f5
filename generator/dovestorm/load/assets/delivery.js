// Draws what became of a run's deliveries: a tab of Locust's page, asked for anew each second, or a section of its report.
(() => {
  const CHARTS = [
    { title: "Rate", unit: "events/s", lines: [["events", "delivered", "--good"], ["offered", "offered", "--offered", "5 4"]], open: true },
    { title: "Rate", unit: "events/s", lines: [["events", "delivered", "--good"]], open: false },
    { title: "Lateness", unit: "ms", open: true, lines: [["lateness_p99_ms", "p99", "--two"], ["lateness_p50_ms", "p50", "--one"]] },
    { title: "Service time", unit: "ms", open: false, lines: [["service_p99_ms", "p99", "--two"], ["service_p50_ms", "p50", "--one"]] },
    { title: "Due and not yet delivered", unit: "events", lines: [["backlog", "in flight and waiting", "--one"]] },
    { title: "Errors", unit: "per s", none: "no errors", lines: [["failures", "failed deliveries", "--two"], ["undelivered", "events given up", "--bad"]] },
  ];
  const MARGIN = { left: 58, right: 10, top: 10, bottom: 22 };
  const POLL_MS = 1000;

  const make = (name, attributes = {}, text = "") => {
    const found = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
    found.textContent = text;
    return found;
  };
  const draw = (name, attributes, text = "") => {
    const found = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
    found.textContent = text;
    return found;
  };
  const short = (value) => {
    for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
      if (Math.abs(value) >= size) return `${+(value / size).toPrecision(3)}${letter}`;
    return `${+value.toPrecision(3)}`;
  };
  const shortTime = (ms, top) => (top >= 1000 ? `${+(ms / 1000).toPrecision(3)} s` : `${+ms.toPrecision(3)} ms`);
  const whole = (value) => Math.round(value).toLocaleString("en");
  const time = (ms) => (ms >= 1000 ? `${(ms / 1000).toPrecision(3)} s` : `${ms >= 100 ? ms.toFixed(0) : ms.toPrecision(3)} ms`);
  const clock = (second) => {
    const [hours, minutes, rest] = [Math.floor(second / 3600), Math.floor(second / 60) % 60, Math.floor(second % 60)];
    const two = (value) => String(value).padStart(2, "0");
    return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
  };
  const nice = (most, count, least) => {
    const raw = Math.max(most / count, least), size = 10 ** Math.floor(Math.log10(raw));
    return size * [1, 2, 2.5, 5, 10].find((step) => step * size >= raw * 0.999);
  };
  const niceTime = (span) => [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].find((step) => span / step <= 6) || 604800;

  function chart(figure, spec, data) {
    const { columns, rows } = data, svg = figure.querySelector("svg");
    const width = svg.clientWidth || 560, height = svg.clientHeight || 210;
    const column = (name) => columns.indexOf(name);
    const from = rows.length ? rows[0][0] : 0, to = Math.max(rows.length ? rows[rows.length - 1][0] : 0, from + (data.state === "ended" ? 2 : 10));
    const most = Math.max(...spec.lines.map(([name]) => rows.reduce((top, row) => Math.max(top, row[column(name)]), 0)), spec.unit === "ms" ? 0.01 : 1);
    const step = nice(most, 4, spec.unit === "ms" ? 0 : 1), top = Math.ceil(most / step - 1e-9) * step;
    const x = (second) => MARGIN.left + ((second - from) / (to - from)) * (width - MARGIN.left - MARGIN.right);
    const y = (value) => height - MARGIN.bottom - (value / top) * (height - MARGIN.top - MARGIN.bottom);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (let value = 0; value <= top * 1.001; value += step) {
      svg.append(draw("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }));
      svg.append(draw("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, spec.unit === "ms" ? shortTime(value, top) : short(value)));
    }
    if (spec.none && rows.length && rows.every((row) => spec.lines.every(([name]) => !row[column(name)])))
      svg.append(draw("text", { class: "none", x: (MARGIN.left + width - MARGIN.right) / 2, y: height / 2, "text-anchor": "middle" }, spec.none));
    const every = niceTime(to - from);
    for (let second = Math.ceil(from / every) * every; second <= to; second += every)
      svg.append(draw("text", { x: x(second), y: height - 5, "text-anchor": "middle" }, clock(second)));
    for (const [name, , colour, dash] of spec.lines) {
      // Where nothing was delivered there is no time to show: the line is broken there, and not at 0.
      const has = (row) => row && (spec.unit !== "ms" || row[column("events")] > 0);
      const path = rows.map((row, number) => (has(row) ? `${has(rows[number - 1]) ? "L" : "M"}${x(row[0]).toFixed(1)} ${y(row[column(name)]).toFixed(1)}` : "")).join("");
      svg.append(draw("path", { d: path, style: `stroke: var(${colour})`, "stroke-dasharray": dash || "none", "data-line": name }));
      rows.forEach((row, number) => {
        if (has(row) && !has(rows[number - 1]) && !has(rows[number + 1]))
          svg.append(draw("circle", { cx: x(row[0]), cy: y(row[column(name)]), r: 2.5, style: `fill: var(${colour})` }));
      });
    }
    svg.onmousemove = (event) => {
      if (!rows.length) return;
      const box = svg.getBoundingClientRect(), second = from + ((event.clientX - box.left - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) * (to - from);
      const row = rows.reduce((best, other) => (Math.abs(other[0] - second) < Math.abs(best[0] - second) ? other : best));
      const tip = figure.querySelector(".tip") || figure.appendChild(make("div", { class: "tip" }));
      tip.textContent = [clock(row[0]), ...spec.lines.map(([name, label]) => `${label} ${spec.unit === "ms" ? time(row[column(name)]) : whole(row[column(name)])}`)].join("  ·  ");
      tip.style.top = "34px";
      const place = x(row[0]) + 12;
      if (place > width / 2) Object.assign(tip.style, { left: "", right: `${width - x(row[0]) + 12}px` });
      else Object.assign(tip.style, { right: "", left: `${place + 12}px` });
    };
    svg.onmouseleave = () => figure.querySelector(".tip")?.remove();
  }

  function tiles(data) {
    const share = data.offered ? (100 * data.events) / data.offered : 0;
    const late = (name) => (data.events ? time(data.lateness_ms[name]) : "–"), service = (name) => (data.events ? time(data.service_ms[name]) : "–");
    const found = [["achieved rate", `${whole(data.achieved_per_s)}/s`], ["delivered", whole(data.events)]];
    if (data.is_open) {
      found.unshift(["offered rate", `${whole(data.offered_per_s)}/s`]);
      found.push(["of those offered", `${(Math.floor(share * 100) / 100).toFixed(2)} %`]);
      found.push(["lateness p50", late("p50")], ["lateness p99", late("p99")], ["lateness max", late("max")]);
    } else found.push(["service time p50", service("p50")], ["service time p99", service("p99")], ["service time max", service("max")]);
    found.push(["given up", whole(data.undelivered), data.undelivered], ["sent again", whole(data.retries)], ["seconds", data.seconds.toFixed(data.seconds < 10 ? 2 : 1)]);
    return found;
  }

  function show(panel, data) {
    const background = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g) || [255, 255, 255];
    const dark = (background.length < 4 || +background[3] > 0) && +background[0] + +background[1] + +background[2] < 384;
    panel.classList.toggle("dark", dark);
    const known = "target" in data;
    const text = known
      ? `${data.scenario} to ${data.target}; ${data.is_open ? "open" : "closed"} workload; ${data.workers} worker${data.workers === 1 ? "" : "s"}, ` +
        `${data.shards} shard${data.shards === 1 ? "" : "s"}; counted to the ${data.is_acknowledged ? "acknowledgement" : "end of the write"}; ${data.state}`
      : data.state === "none" ? "no run yet" : data.state;
    panel.querySelector("[data-part=what]").textContent = text;
    panel.dataset.state = data.state;
    panel.dataset.events = data.events || 0;
    if (!known) return;
    panel.querySelector(".tiles").replaceChildren(
      ...tiles(data).map(([label, value, bad]) => {
        const tile = make("div", { class: bad ? "tile bad" : "tile" });
        tile.append(make("span", {}, label), make("b", {}, value));
        return tile;
      }),
    );
    const wanted = CHARTS.filter((spec) => spec.open === undefined || spec.open === data.is_open);
    const charts = panel.querySelector(".charts");
    if (charts.dataset.open !== String(data.is_open)) {
      charts.dataset.open = data.is_open;
      charts.replaceChildren(
        ...wanted.map((spec) => {
          const figure = make("figure"), caption = make("figcaption", {}, spec.unit === "ms" ? spec.title : `${spec.title}, ${spec.unit}`), legend = make("span", { class: "legend" });
          for (const [, label, colour, dash] of spec.lines)
            legend.append(make("i", { style: `border-color: var(${colour}); border-top-style: ${dash ? "dashed" : "solid"}` }), label);
          caption.append(legend);
          figure.append(caption, draw("svg", { role: "img", "aria-label": spec.title }));
          return figure;
        }),
      );
    }
    charts.querySelectorAll("figure").forEach((figure, number) => chart(figure, wanted[number], data));
    panel.querySelector("ul").replaceChildren(
      ...data.notes.map((note) => make("li", {}, note)),
      ...data.outcomes.map((outcome) => make("li", { class: outcome.passed ? "good" : "bad" }, outcome.text)),
      ...(data.verdict ? [make("li", { class: data.verdict === "PASS" ? "good" : "bad" }, data.verdict)] : []),
    );
  }

  function newPanel(links) {
    const panel = make("section", { class: "dovestorm", id: "dovestorm-delivery" });
    panel.append(make("h2", {}, "Delivery"), make("p", { "data-part": "what" }), make("div", { class: "tiles" }), make("div", { class: "charts" }), make("ul"));
    if (links) {
      const line = make("p");
      line.append(make("a", { href: "./delivery/csv" }, "CSV"), "  ·  ", make("a", { href: "./delivery/metrics" }, "OpenMetrics"), "  ·  ", make("a", { href: "./delivery/data" }, "JSON"));
      panel.append(line);
    }
    return panel;
  }

  function live() {
    const panel = newPanel(true);
    let last = null;
    const ask = async () => {
      try {
        const answer = await fetch("./delivery/data");
        if (answer.ok) show(panel, (last = await answer.json()));
      } catch {
        panel.querySelector("[data-part=what]").textContent = "Locust does not answer";
      }
    };
    const place = () => {
      const tab = [...document.querySelectorAll("[role=tab]")].find((one) => one.textContent === "Delivery");
      const chosen = tab && tab.getAttribute("aria-selected") === "true";
      if (!chosen) return panel.remove();
      const home = tab.closest(".MuiTabs-root")?.parentElement || document.getElementById("root");
      if (panel.parentElement !== home) {
        home.append(panel);
        ask();
      }
    };
    new MutationObserver(place).observe(document.getElementById("root"), { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-selected"] });
    setInterval(() => panel.isConnected && !document.hidden && ask(), POLL_MS);
    addEventListener("resize", () => panel.isConnected && last && show(panel, last));
    place();
  }

  const kept = document.getElementById("dovestorm-delivery-data");
  if (!kept) return live();
  const panel = newPanel(false), data = JSON.parse(kept.textContent);
  kept.replaceWith(panel);
  // Locust's own pages come first: who reads only their beginning finds the verdict there, and the way to the rest.
  const top = make("a", { class: `dovestorm-verdict ${data.verdict === "PASS" ? "good" : "bad"}`, href: "#dovestorm-delivery" });
  top.textContent = `Delivery: ${data.verdict || data.state} (figures and charts below)`;
  document.body.prepend(top);
  const again = () => show(panel, data);
  again();
  addEventListener("resize", again);
  // Locust's report chooses its colours after it has been drawn.
  new MutationObserver(again).observe(document.head, { childList: true });
})();
