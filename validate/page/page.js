// Draws every figure's numbers with Chart.js; tables are folded once that has worked.
(() => {
  const figures = [...document.querySelectorAll("figure")].filter(f => f.querySelector("canvas"));
  const charts = new Map();
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const compact = value => {
    const size = Math.abs(value);
    if (size >= 1e12) return +(value / 1e12).toPrecision(4) + " T";
    if (size >= 1e9) return +(value / 1e9).toPrecision(4) + " B";
    if (size >= 1e6) return +(value / 1e6).toPrecision(4) + " M";
    return size >= 1e3 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(4));
  };
  // 1, 2, 5 of each power of ten; only the powers where there are many.
  const decades = scale => {
    const first = Math.floor(Math.log10(scale.min)), last = Math.ceil(Math.log10(scale.max)), ticks = [];
    for (let power = first; power <= last; ++power)
      for (const step of last - first > 3 ? [1] : [1, 2, 5]) ticks.push({ value: step * 10 ** power });
    return ticks.filter(t => t.value >= scale.min * 0.999 && t.value <= scale.max * 1.001);
  };
  // Chart.js styles a legend's line as the first point, which has no dashes.
  const dashedLabels = chart => Chart.defaults.plugins.legend.labels.generateLabels(chart)
    .map(label => ({ ...label, lineDash: chart.data.datasets[label.datasetIndex].borderDash }));
  const axis = (title, log) => ({
    type: log ? "logarithmic" : "linear",
    title: { display: true, text: title, color: css("--soft") },
    grid: { color: css("--line") },
    beginAtZero: !log,
    ticks: { color: css("--soft"), maxRotation: 0, autoSkip: true, callback: value => compact(value) },
  });
  const draw = figure => {
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const sets = [];
    data.series.forEach((series, i) => {
      const color = css("--c" + (series.color < 0 ? i : series.color) % 8);
      const points = series.points.map(p => ({ x: p[0], y: p[1], low: p[2], high: p[3], label: p[4] }));
      if (points.some(p => p.high > p.low)) {
        const edge = { showLine: true, borderWidth: 0, pointRadius: 0, pointHitRadius: 0, band: true };
        sets.push({ ...edge, data: points.map(p => ({ x: p.x, y: p.low })) });
        sets.push({ ...edge, data: points.map(p => ({ x: p.x, y: p.high })), fill: "-1", backgroundColor: color + "26" });
      }
      sets.push({ label: series.name, data: points, showLine: series.line, borderColor: color, backgroundColor: series.line ? color : color + "99",
        borderWidth: series.dashed ? 1.5 : 2, borderDash: series.dashed ? [6, 4] : [], pointRadius: points.length > 60 ? 2 : 3, pointHoverRadius: 5, tension: 0 });
    });
    const xs = new Set(data.series.flatMap(s => s.points.map(p => p[0])));
    const x = axis(data.x, data.log_x), y = axis(data.y, data.log_y);
    if (data.log_x) {
      const all = [...xs].sort((a, b) => a - b);
      x.min = all[0] / 1.1;
      x.max = all[all.length - 1] * 1.1;
      x.afterBuildTicks = scale => { scale.ticks = all.length <= 40 ? all.map(value => ({ value })) : decades(scale); };
    }
    if (data.log_y) y.afterBuildTicks = scale => { scale.ticks = decades(scale); };
    charts.get(figure)?.destroy();
    charts.set(figure, new Chart(figure.querySelector("canvas"), {
      type: "scatter",
      data: { datasets: sets },
      options: {
        animation: false, maintainAspectRatio: false, interaction: { mode: "nearest", intersect: false },
        scales: { x, y },
        plugins: {
          legend: { position: "bottom", labels: { color: css("--front"), usePointStyle: true, pointStyle: "line", pointStyleWidth: 28, boxHeight: 7, generateLabels: dashedLabels, filter: (item, all) => !all.datasets[item.datasetIndex].band },
            display: data.series.length > 1 },
          tooltip: { filter: item => !item.dataset.band, callbacks: { label: item => {
            const p = item.raw, band = p.high > p.low ? " (" + compact(p.low) + " to " + compact(p.high) + ")" : "";
            return [item.dataset.label + ": " + compact(p.y) + band + " at " + compact(p.x)].concat(p.label ? [p.label] : []);
          } } },
        },
      },
    }));
  };
  const all = () => figures.forEach(draw);
  for (const figure of figures) {
    figure.querySelector(".plot").hidden = false;
    figure.querySelector("details").open = false;
  }
  all();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
})();
