// The page for people, in a real browser: complete without scripts, live with them, for the keyboard
// and for screen readers. What is run beside it: page_scene.py.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";
import { after, afterEach, before, beforeEach, test } from "node:test";

const { MEMOD_SOURCE_DIR, MEMOD_BINARY_DIR, MEMOD_PYTHON } = process.env;
const require = createRequire(`${MEMOD_SOURCE_DIR}/build/tools/`); // by tests/install-tools
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const BROWSER = "/usr/bin/chromium-headless-shell";
const SOON = 20_000; // ms, for what happens at once unless something is wrong
const CALCULATE = "/memo.examples.v1.SlowAdder/Calculate";

// A memod with clients, that does what it is told.
class Scene {
  static async start() {
    const scene = new Scene();
    scene.process = spawn(
      MEMOD_PYTHON,
      ["-B", path.join(MEMOD_SOURCE_DIR, "tests/process/page_scene.py")],
      {
        stdio: ["pipe", "pipe", "inherit"],
      },
    );
    scene.lines = readline.createInterface({ input: scene.process.stdout })[Symbol.asyncIterator]();
    scene.url = `http://${await scene.answer()}/`;
    return scene;
  }
  async answer() {
    const { value, done } = await this.lines.next();
    assert.ok(!done, "the scene has ended, see above");
    return value;
  }
  async do(...words) {
    this.process.stdin.write(`${words.join(" ")}\n`);
    return this.answer();
  }
  async end() {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    await this.do("leave");
    this.process.stdin.end();
    assert.equal(await ended, 0);
  }
}

let browser, scene;
let complaints = []; // of the browser: errors on its console, what the policy forbade
before(async () => {
  // No sandbox: it would want a user who is not root.
  browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
});
after(() => browser?.close());
beforeEach(async () => {
  complaints = [];
  scene = await Scene.start();
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  await scene.end();
});

async function open(options = {}, url = scene.url) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(SOON);
  const page = await context.newPage();
  page.on(
    "console",
    (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()),
  );
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  return page;
}

// The texts of a table's body and foot, row by row.
const rows = (page, table) =>
  page
    .locator(`#${table} :is(tbody, tfoot) tr`)
    .evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
const text = (page, selector) => page.locator(selector).textContent();
const until = (page, selector, wanted) =>
  page.waitForFunction(
    ([selector, wanted]) => document.querySelector(selector)?.textContent.includes(wanted),
    [selector, wanted],
  );
const label = (page, chart) => page.locator("figure svg").nth(chart).getAttribute("aria-label");
const curve = (page, chart) => page.locator("figure .curve").nth(chart).getAttribute("d");

async function judge(page, what) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => axe.run());
  const found = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`,
  );
  assert.deepEqual(found, [], what);
}

test("without scripts all is there", async () => {
  const id = await scene.do("open", 1);
  await scene.do("hit", 4);
  const page = await open({ javaScriptEnabled: false });
  assert.equal(await page.title(), "memod: serving, 1 session");
  const [, , calculate, , total] = await rows(page, "methods");
  assert.deepEqual(calculate.slice(0, 6), [CALCULATE, "3", "1", "75.0 %", "1", "128 each"]);
  assert.deepEqual(calculate.slice(7, 10), ["0", "1", "0"]);
  assert.deepEqual(total.slice(0, 5), ["All methods", "3", "1", "75.0 %", "1"]);
  const [[session, state, client, age, ...counts]] = await rows(page, "sessions");
  assert.deepEqual([session, state], [id, "memo.examples.v1.SlowAdderState"]);
  assert.match(client, /127\.0\.0\.1:\d+$/);
  assert.match(age, /^(<1|\d+) s$/);
  assert.deepEqual(counts.slice(0, 4), ["3", "1", "75.0 %", "1"]);
  assert.match(await text(page, "#connection"), /^As of \d{4}-.*Z, reload for newer figures$/);
  assert.ok(!(await page.locator("#charts").isVisible()));
  assert.ok(!(await page.locator("#pause").isVisible()));
  await page.getByRole("link", { name: id }).click();
  assert.equal(JSON.parse(await text(page, "pre")).total.hits, 3);
  assert.deepEqual(complaints, []);
});

test("with scripts it is live, and its charts move", async () => {
  await scene.do("open", 1);
  const page = await open();
  await until(page, "#connection", "Live");
  assert.equal(await page.locator("figure svg").count(), 3);
  assert.match(await label(page, 0), /^Hit ratio in the last 5 minutes: now no calls/);
  const before = await Promise.all([0, 1, 2].map((chart) => curve(page, chart)));

  await scene.do("hit", 5);
  await scene.do("open", 2);
  await until(page, "#figure-hits", "4");
  await until(page, "#figure-sessions", "3");
  assert.equal((await rows(page, "sessions")).length, 3);
  assert.equal(await page.title(), "memod: serving, 3 sessions");
  assert.equal(
    await label(page, 0),
    "Hit ratio in the last 5 minutes: now 80.0 %; lowest 80.0 %, highest 80.0 %",
  );
  assert.match(await label(page, 1), /: now \d+ B; lowest 0 B, highest \d+ B$/);
  assert.equal(await label(page, 2), "Sessions in the last 5 minutes: now 3; lowest 1, highest 3");
  const after = await Promise.all([0, 1, 2].map((chart) => curve(page, chart)));
  after.forEach((path, chart) => assert.notEqual(path, before[chart], `chart ${chart}`));

  await scene.do("close", 2);
  await until(page, "#figure-sessions", "1");
  assert.equal((await rows(page, "sessions")).length, 1);
  await page.reload(); // the tab remembers
  assert.equal(await label(page, 2), "Sessions in the last 5 minutes: now 1; lowest 1, highest 3");
  assert.deepEqual(complaints, []);
});

test("the browser runs nothing but the page's own script", async () => {
  const page = await open();
  await page.evaluate(() => {
    document.body.insertAdjacentHTML("beforeend", "<img src='x:' onerror='window.foreign = 1'>");
    document.body.append(
      Object.assign(document.createElement("script"), { text: "window.foreign = 2" }),
    );
  });
  await page.waitForFunction(() => document.querySelector("img").complete);
  assert.equal(await page.evaluate(() => window.foreign), undefined);
  assert.ok(
    complaints.some((complaint) => complaint.includes("Content Security Policy")),
    String(complaints),
  );
});

test("the keyboard reaches everything, in the order of reading, and sees where it is", async () => {
  const id = await scene.do("open", 1);
  const page = await open();
  const stops = [];
  for (let i = 0; i < 9; ++i) {
    await page.keyboard.press("Tab");
    stops.push(
      await page.evaluate(() => {
        const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
        const name =
          document.activeElement.ariaLabel ??
          document.activeElement.getAttribute("aria-labelledby");
        return `${name ?? document.activeElement.textContent} ${outlineStyle} ${outlineWidth}`;
      }),
    );
  }
  const names = ["Skip to the figures", "Pause", "cache_info", "sessions", "methods", "metrics"];
  names.push("methods-title", "sessions-title", id);
  assert.deepEqual(
    stops,
    names.map((name) => `${name} solid 3px`),
  );

  // What is live takes nothing away from whoever is in it.
  await scene.do("hit", 3);
  await scene.do("open", 3);
  await until(page, "#figure-sessions", "4");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), id);

  await page.reload();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  assert.deepEqual(complaints, []);
});

test("paused it stays as it is, and goes on when told", async () => {
  await scene.do("open", 1);
  const page = await open();
  await page.getByRole("button", { name: "Pause" }).focus();
  await page.keyboard.press("Space");
  await until(page, "#connection", "Paused at ");
  assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
  let asked = 0;
  await page.clock.install();
  page.on("request", () => ++asked);
  await scene.do("open", 1);
  await page.clock.runFor(60_000);
  assert.equal(asked, 0);
  assert.equal(await text(page, "#figure-sessions"), "1");
  await page.keyboard.press("Space");
  await until(page, "#figure-sessions", "2");
  assert.equal(await text(page, "#connection"), "Live");
  assert.deepEqual(complaints, []);
});

test("it says since when memod is gone, that it is stopping, and that it is back", async () => {
  await scene.do("open", 1);
  await scene.do("hit", 2);
  const page = await open();
  await scene.do("drain");
  await until(page, "#state", "stopping");
  assert.match(await page.title(), /^memod: stopping, /);
  await scene.do("kill");
  await until(page, "#connection", "Disconnected since ");
  const since = await text(page, "#connection");
  assert.match(since, /since \d\d:\d\d:\d\d$/);
  assert.equal(await page.title(), "memod: disconnected");
  assert.ok(!(await page.locator("#state").isVisible()));
  assert.equal(await text(page, "#figure-hits"), "1", "what was last known stays");
  await judge(page, "disconnected");
  const failed = await page.waitForEvent("requestfailed");
  assert.equal(failed.url(), scene.url);
  assert.equal(await text(page, "#connection"), since, "the same moment, however often it tried");
  assert.ok(
    complaints.every((complaint) => complaint.includes("ERR_CONNECTION_REFUSED")),
    String(complaints),
  );

  await scene.do("start");
  await until(page, "#connection", "Live");
  assert.equal(await text(page, "#figure-hits"), "0");
  assert.equal(await text(page, "#state"), "serving");
  assert.ok(await page.locator("#state").isVisible());
  assert.equal(await page.title(), "memod: serving, 0 sessions");
});

test("of many sessions it shows a page at a time, and is live on each", async () => {
  await scene.do("open", 250);
  const page = await open();
  assert.equal(await text(page, "#sessions caption"), "100 of 250 open, oldest first");
  const seen = [];
  const see = async () => seen.push(...(await rows(page, "sessions")).map(([id]) => id));
  await see();
  for (const count of [100, 50]) {
    await page.getByRole("link", { name: "Next page" }).click();
    await page.waitForURL(/page_token/);
    await page.waitForFunction(
      (count) => document.querySelectorAll("#sessions tbody tr").length === count,
      count,
    );
    await see();
  }
  assert.equal(new Set(seen).size, 250);
  assert.deepEqual(seen, [...seen].sort());
  assert.equal(await page.getByRole("link", { name: "Next page" }).count(), 0);
  await scene.do("close", 249);
  await until(page, "#figure-sessions", "1");
  await page.getByRole("link", { name: "First page" }).click();
  await page.waitForURL(scene.url);
  assert.equal((await rows(page, "sessions")).length, 1);
  assert.deepEqual(complaints, []);
});

test("axe-core finds nothing, light and dark, wide and narrow", async () => {
  await scene.do("open", 105);
  await scene.do("work");
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 360]) {
      const page = await open({ colorScheme, viewport: { width, height: 900 } });
      await until(page, "#connection", "Live");
      await judge(page, `${colorScheme}, ${width}`);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wider <= 0, `the page is ${wider} px wider than its window of ${width}`);
      // For people to look at.
      await page.screenshot({
        path: path.join(MEMOD_BINARY_DIR, `page-${colorScheme}-${width}.png`),
      });
    }
  }
  assert.deepEqual(complaints, []);
});

test("what a screen reader meets has names and roles", async () => {
  await scene.do("open", 1);
  const page = await open();
  for (const name of ["Hit ratio", "Bytes", "Sessions"]) {
    assert.equal(
      await page.getByRole("img", { name: new RegExp(`^${name} in the last 5 minutes`) }).count(),
      1,
    );
  }
  for (const name of [/^Over all sessions/, /^All that are open/]) {
    assert.equal(await page.getByRole("table", { name }).count(), 1);
  }

  assert.equal(await page.getByRole("rowheader", { name: /SlowAdder\/ ?Calculate$/ }).count(), 1);
  assert.equal(await page.getByRole("navigation", { name: "Pages of sessions" }).count(), 0);
  for (const role of ["banner", "main", "status"])
    assert.equal(await page.getByRole(role).count(), 1, role);
  assert.equal(await page.getByRole("navigation", { name: "The same as data" }).count(), 1);
  assert.equal(
    await page.locator("[aria-live], [role=alert]").count(),
    0,
    "figures are not announced",
  );
});
