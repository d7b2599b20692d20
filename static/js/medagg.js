// Progressive enhancement only: every page works without this file, and without htmx.
"use strict";

(() => {
  const FIND_FROM = 16; // values in a facet from which a field to find one is worth its place
  const htmx = window.htmx;
  const byId = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  document.documentElement.classList.add("js");

  // --- Filters: every change asks at once --------------------------------------------------
  document.addEventListener("change", (event) => {
    const { form } = event.target;
    if (form?.id === "filters" && event.target.type !== "search") form.requestSubmit();
    if (form?.id === "picks" && !htmx) form.requestSubmit();
  });

  // An empty field says nothing: it stays out of the address.
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.target.id !== "filters") return;
    const { formData, triggeringEvent } = event.detail;
    // The button that was pressed adds its value to those that the form has; htmx replaces them.
    const button = triggeringEvent?.submitter;
    if (button?.name) {
      const values = new Set([...new FormData(event.target).getAll(button.name), button.value]);
      formData.delete(button.name);
      values.forEach((value) => formData.append(button.name, value));
    }
    for (const name of new Set(formData.keys())) {
      const values = formData.getAll(name).filter((value) => value !== "");
      formData.delete(name);
      values.forEach((value) => formData.append(name, value));
    }
  });

  const openFiltersWhereTheyCannotBeStyled = () => {
    const panel = byId("filters-panel");
    const isStyled = CSS.supports("selector(details::details-content)");
    if (panel && !isStyled && window.matchMedia("(min-width: 60rem)").matches) panel.open = true;
  };

  // "Narrow the search" leads to the filters, which narrow screens fold away.
  document.addEventListener("click", (event) => {
    if (event.target.closest('a[href="#filters-panel"]')) byId("filters-panel").open = true;
  });

  // A filter that the search's words have set is a link drawn as a ticked box.
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || !event.target.matches("a[role=checkbox]")) return;
    event.preventDefault();
    event.target.click();
  });

  const addFindField = (list) => {
    if (Number(list.dataset.size) < FIND_FROM || list.previousElementSibling?.matches(".facet-find"))
      return;
    const field = document.createElement("input");
    field.type = "search";
    field.className = "facet-find";
    field.id = `${list.closest(".facet").id}-find`;
    field.placeholder = `Find in ${list.dataset.size}`;
    field.setAttribute("aria-label", `Find in the list: ${list.dataset.title}`);
    field.autocomplete = "off";
    field.addEventListener("input", () => findInFacet(list, field.value));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
    list.before(field);
  };

  const findInFacet = (list, text) => {
    const wanted = text.trim().toLocaleLowerCase();
    for (const item of list.children) {
      const name = item.querySelector(".facet-name").textContent.toLocaleLowerCase();
      item.classList.toggle("is-filtered-out", !name.includes(wanted));
    }
  };

  // --- What a swap of the results must not lose -------------------------------------------
  let kept = null;

  const keepPanels = () => ({
    open: new Map(all("#results details[id]").map((panel) => [panel.id, panel.open])),
    found: new Map(all("#results .facet-find").map((field) => [field.id, field.value])),
    scrolled: new Map(all("#results .facet").map((facet) => [
      facet.id, facet.querySelector(".facet-values")?.scrollTop ?? 0])),
    focus: document.activeElement?.closest("#results") ? document.activeElement.id : null,
  });

  const restorePanels = ({ open, found, scrolled, focus }) => {
    open.forEach((isOpen, id) => { if (byId(id)) byId(id).open = isOpen; });
    found.forEach((text, id) => {
      const field = byId(id);
      if (!field || !text) return;
      field.value = text;
      findInFacet(field.nextElementSibling, text);
    });
    scrolled.forEach((top, id) => {
      const list = byId(id)?.querySelector(".facet-values");
      if (list) list.scrollTop = top;
    });
    // Focus was on something that is gone, such as a chip's cross: go to the count, not nowhere.
    if (focus !== null && document.activeElement === document.body) {
      (byId(focus) ?? byId("results-title"))?.focus({ preventScroll: true });
    }
  };

  const announce = (text) => { byId("announcer").textContent = text; };

  // --- Previews that cannot be shown ------------------------------------------------------
  const replaceBrokenPreview = (img) => {
    const box = img.closest(".preview");
    if (!box) return;
    if (box.closest("[data-optional]")) {
      box.closest("[data-optional]").remove();
      return;
    }
    // What lies elsewhere goes on saying so.
    if (box.matches(".preview-later")) {
      img.remove();
      return;
    }
    box.classList.add("preview-none");
    box.textContent = "No preview";
  };

  // The picture takes the place of the facts about what lies elsewhere.
  const showLatePreview = (img) => {
    const box = img.closest(".preview-later");
    if (!box) return;
    box.querySelector(".preview-none")?.remove();
    box.classList.remove("preview-later");
    img.alt = img.dataset.alt ?? "";
  };

  // A server that draws as many previews as it can, or has one made by a worker (202), says when to
  // come again. Many may be made before this one.
  const MOST_TRIES = 5;
  const MOST_TRIES_OF_WORKER = 12;
  const LATER = [202, 429, 503];
  const handleBrokenPreview = async (img) => {
    if (!img.closest(".preview") || img.dataset.waiting) return;
    img.dataset.waiting = "1";
    const tries = Number(img.dataset.tries ?? 0) + 1;
    const answer = await fetch(img.src).catch(() => null);
    const isLater = LATER.includes(answer?.status);
    const seconds = Number(answer?.headers.get("Retry-After"));
    const most = isLater && answer.status !== 503 ? MOST_TRIES_OF_WORKER : MOST_TRIES;
    if (tries <= most && (isLater ? seconds : answer?.ok)) {
      // At another moment than all the others of the page, and more and more seldom.
      const rounds = answer.status === 202 ? Math.min(tries, 5) : 1;
      const wait = isLater ? 1000 * seconds * rounds * (1 + Math.random()) : 0;
      await new Promise((done) => { setTimeout(done, wait); });
      if (!img.isConnected) return;
      img.dataset.tries = tries;
      delete img.dataset.waiting;
      img.src = img.src.replace(/(&try=\d+)?$/, `&try=${tries}`);
      return;
    }
    replaceBrokenPreview(img);
  };

  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement) handleBrokenPreview(event.target);
  }, true);

  document.addEventListener("load", (event) => {
    if (event.target instanceof HTMLImageElement) showLatePreview(event.target);
  }, true);

  // --- Set-up of a page or of a part that has just come -----------------------------------
  const enhance = (root) => {
    openFiltersWhereTheyCannotBeStyled();
    all(".facet-values[data-size]", root).forEach(addFindField);
    const done = all(".preview img", root).filter((img) => img.complete && img.currentSrc);
    done.filter((img) => !img.naturalWidth).forEach(handleBrokenPreview);
    done.filter((img) => img.naturalWidth).forEach(showLatePreview);
    // Copying needs a secure context; elsewhere the button would do nothing.
    if (!navigator.clipboard) all("[data-copy]", root).forEach((button) => button.remove());
  };

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      await navigator.clipboard.writeText(byId(copy.dataset.copy).innerText.trim());
      copy.textContent = "Copied";
      announce("Copied");
    }
    all("details.menu[open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  // A second click must not freeze the same images twice.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-once]")) return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
  });
  window.addEventListener("pageshow", () => {
    all("[data-once]").forEach((form) => { delete form.dataset.sent; });
  });

  // --- htmx -------------------------------------------------------------------------------
  const trouble = (text) => { byId("trouble").textContent = text; };

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig, target } = event.detail;
    const asked = new URL(requestConfig.path, location.href).pathname;
    // Redirected, as to the sign-in page: that is a page of its own, not a part of this one.
    if (xhr.responseURL && new URL(xhr.responseURL).pathname !== asked) {
      event.detail.shouldSwap = false;
      location.reload();
      return;
    }
    trouble("");
    if (target.id === "results") kept = keepPanels();
    if (target.id === "status") kept = target.dataset.status;
    if (target.id === "tray" && xhr.status === 400) undoLastPick(requestConfig.triggeringEvent);
  });

  const undoLastPick = (event) => {
    const box = event?.target;
    if (box?.type === "checkbox") box.checked = !box.checked;
  };

  document.addEventListener("htmx:afterSettle", (event) => {
    const { id } = event.detail.target;
    const target = byId(id);
    if (!target) return;
    enhance(target);
    if (id === "results") afterResults();
    if (id === "status") afterStatus(target);
    if (id === "tray" && !target.querySelector("[data-basket]")) {
      all("#picks input[name=image]").forEach((box) => { box.checked = false; });
    }
  });

  const afterResults = () => {
    restorePanels(kept);
    announce(byId("results-title").textContent.trim());
    const here = encodeURIComponent(location.pathname + location.search);
    all("[data-next]").forEach((link) => { link.search = `?next=${here}`; });
  };

  const afterStatus = (panel) => {
    if (panel.dataset.status === kept) return;
    // What a button had set going is over; notices of other collections stay.
    if (kept === "pending") all("#messages > :not([data-notice])").forEach((text) => text.remove());
    announce(`The collection is ${panel.dataset.status}.`);
  };

  const onFailure = (event) => {
    const { xhr, elt } = event.detail;
    if (elt.id === "status" && xhr?.status === 404) location.reload();
    trouble(xhr?.status
      ? "The server could not answer this. Reload the page, or try again in a minute."
      : "The server cannot be reached. Check the connection; the page is as it was.");
  };
  document.addEventListener("htmx:responseError", onFailure);
  document.addEventListener("htmx:sendError", onFailure);

  enhance(document);
})();
