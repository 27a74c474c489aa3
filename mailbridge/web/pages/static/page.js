// What the page does beyond htmx: the login link, the cap of the feed, countdowns, keys, and hiding what was revealed.
(() => {
  "use strict";
  const body = () => document.body;

  // A login link carries its token in the fragment, which no server sees; it goes out in a form, and out of the address bar.
  function logIn() {
    const form = document.getElementById("link");
    const token = location.hash.slice(1);
    if (!form || !/^[\w-]{16,200}$/.test(token)) return;
    history.replaceState(null, "", location.pathname);
    form.elements.token.value = token;
    form.hidden = false;
    form.submit();
  }

  function localTimes(root) {
    const now = Date.now();
    for (const one of root.querySelectorAll("time[datetime]")) {
      const at = new Date(one.dateTime);
      if (Number.isNaN(at.getTime()) || one.dataset.done) continue;
      one.dataset.done = "1";
      one.title = at.toISOString();
      const isLong = "long" in one.dataset || Math.abs(now - at) > 72e6;
      one.textContent = isLong
        ? at.toLocaleString([], { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "long" in one.dataset ? "2-digit" : undefined, hourCycle: "h23" })
        : at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    }
  }

  function countDown() {
    for (const one of document.querySelectorAll("[data-until]")) {
      const left = Math.max(0, Math.floor((new Date(one.dataset.until) - Date.now()) / 1000));
      const { minutes, seconds } = body().dataset;
      one.textContent = left >= 60 ? minutes.replace("{minutes}", Math.floor(left / 60)).replace("{seconds}", left % 60) : seconds.replace("{count}", left);
    }
  }

  // What was revealed leaves the document after its seconds, whatever else happens.
  function hideSoon(root) {
    for (const one of root.querySelectorAll("[data-hide]")) {
      if (one.dataset.hiding) continue;
      one.dataset.hiding = "1";
      setTimeout(() => {
        for (const secret of one.matches("[data-secret]") ? [one] : one.querySelectorAll("[data-secret]")) {
          secret.textContent = "***";
          secret.className = "masked";
        }
        one.removeAttribute("data-hide");
      }, Number(one.dataset.hide) * 1000);
    }
  }

  function capFeed() {
    const feed = document.getElementById("feed");
    if (!feed) return;
    const seen = new Set();
    for (const row of [...feed.children]) {
      if (seen.has(row.id) || seen.size >= Number(feed.dataset.most)) row.remove();
      else seen.add(row.id);
    }
    if (seen.size) document.getElementById("feed-empty")?.remove();
  }

  function say(name) {
    const live = document.getElementById("live");
    if (live) live.textContent = live.dataset[name];
  }

  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent && event.target.method === "post") event.preventDefault();
    else if (event.target.method === "post") {
      event.target.dataset.sent = "1";
      event.submitter?.setAttribute("aria-busy", "true");
      setTimeout(() => free(event.target), 3000);
    }
  });
  function free(form) {
    delete form.dataset?.sent;
    for (const one of form.querySelectorAll?.("[aria-busy]") ?? []) one.removeAttribute("aria-busy");
  }
  document.addEventListener("htmx:finally:request", (event) => free(event.target));

  const GO = { n: "/", m: "/mail", c: "/codes", w: "/waiting", d: "/deliveries", y: "/why" };
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, textarea, select")) return;
    const prefix = body().dataset.prefix;
    if (isGoing) {
      isGoing = false;
      if (GO[event.key]) location.assign(prefix + GO[event.key]);
    } else if (event.key === "g") isGoing = true;
    else if (event.key === "/") {
      event.preventDefault();
      const field = document.querySelector("[data-search]");
      if (field) field.focus();
      else location.assign(`${prefix}/search`);
    } else if (event.key === "?") location.assign(`${prefix}/why`);
    else if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
    else if (event.key === "Enter") document.querySelector("tr.selected a")?.click();
  });

  function move(step) {
    const rows = [...document.querySelectorAll(".list tbody tr")];
    if (!rows.length) return;
    const at = rows.findIndex((row) => row.classList.contains("selected"));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
    for (const row of rows) row.classList.toggle("selected", row === next);
    next.scrollIntoView({ block: "nearest" });
    next.querySelector("a")?.focus({ preventScroll: true });
  }

  // What is to be copied has a button, where the browser lets a page copy.
  function offerCopies(root) {
    if (!navigator.clipboard) return;
    for (const one of root.querySelectorAll("[data-copy][hidden]")) one.hidden = false;
  }
  document.addEventListener("click", async (event) => {
    const one = event.target.closest?.("[data-copy]");
    if (!one) return;
    try {
      await navigator.clipboard.writeText(one.dataset.copy);
    } catch {
      return;
    }
    const label = one.textContent;
    one.textContent = one.dataset.copied;
    setTimeout(() => { one.textContent = label; }, 1500);
  });

  // On a phone the navigation is one line that scrolls: the page that is open is in sight there.
  function showCurrent() {
    const one = document.querySelector(".nav li a[aria-current]");
    const list = one?.closest("ul");
    if (list) list.scrollLeft = one.offsetLeft - (list.clientWidth - one.offsetWidth) / 2;
  }

  function settled(root) {
    offerCopies(root);
    localTimes(root);
    hideSoon(root);
    capFeed();
  }

  document.addEventListener("htmx:after:swap", () => settled(document));
  document.addEventListener("htmx:sse:after:connection", () => say("live"));
  document.addEventListener("htmx:sse:error", () => say("lost"));
  document.addEventListener("htmx:sse:after:message", () => {
    settled(document);
    body().dispatchEvent(new CustomEvent("changed"));
  });
  const begin = () => {
    logIn();
    settled(document);
    countDown();
    setInterval(countDown, 1000);
    showCurrent();
    addEventListener("resize", showCurrent);
    document.querySelector("[data-focus]")?.focus();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
