// The calculator of how-long.html: the formulas of src/langmerge/forecast.py, whose devices are in
// how-long-devices.js. A test holds the two against each other.

function stepSeconds(work, device, tokens) {
  return Math.max(device.floor * work.layers, (tokens * 4 * work.parameters) / device.rate);
}

function evaluating(work, device) {
  const rowsAtOnce = Math.max(1, Math.floor(2048 / (work.tokens + work.answer_tokens)));
  const passes = Math.ceil(work.test_rows / rowsAtOnce) * (1 + work.answer_tokens);
  const tokens = work.test_rows * (work.tokens + work.answer_tokens);
  return Math.max(
    (passes * device.floor * work.layers) / 3,
    (tokens * 2 * work.parameters) / device.rate,
  );
}

function forecast(work, device) {
  const steps = Math.ceil(work.epochs * Math.ceil(work.rows / work.batch));
  const tokens = work.batch * work.tokens;
  const alone = stepSeconds(work, device, tokens);
  const together = stepSeconds(work, device, tokens * work.languages);
  const found = {
    one_language: steps * alone,
    sequential: work.languages * steps * alone,
    grouped: steps * together,
    combined: work.languages * steps * alone,
    combined_wide: steps * together,
    merging: (device.merging * work.parameters) / 1e9,
    evaluating: work.languages * evaluating(work, device),
    loading: (2 * work.parameters) / device.loading,
  };
  const whole = found.loading + found.evaluating;
  found.initial = whole + Math.min(found.sequential, found.grouped) + found.merging;
  found.initial_combined = whole + Math.min(found.combined, found.combined_wide);
  found.update = whole + found.one_language + found.merging;
  return found;
}

function timeText(seconds) {
  if (seconds >= 7200) return `${(seconds / 3600).toFixed(1)} h`;
  return seconds >= 120 ? `${(seconds / 60).toFixed(1)} min` : `${seconds.toFixed(1)} s`;
}

function showForecast(form, table) {
  const work = { parameters: form.elements.billions.value * 1e9 };
  for (const name of ["languages", "rows", "tokens", "layers", "epochs", "batch", "test_rows", "answer_tokens"]) {
    work[name] = Number(form.elements[name].value);
  }
  const found = forecast(work, DEVICES[form.elements.device.value]);
  const price = Number(form.elements.price.value);
  for (const row of table.querySelectorAll("[data-time]")) {
    const seconds = found[row.dataset.time];
    row.cells[1].textContent = timeText(seconds);
    row.cells[2].textContent = price ? ((seconds / 3600) * price).toFixed(2) : "–";
  }
  const saved = Math.round(100 * (1 - found.update / found.initial_combined));
  table.querySelector("[data-saved]").textContent = `${saved}%`;
}

const calculator = document.getElementById("calculator");
if (calculator) {
  const show = () => showForecast(calculator, document.getElementById("forecast"));
  calculator.addEventListener("input", show);
  show();
}
