"use strict";
// "That was not me": on an alarm's own page, and on the page of a link that was opened. Two deliberate acts, as for a
// password, because a robot that alarms people in vain is no better than one that uses up links.
(() => {
  const { act, begin, page, part, post, say, steps } = common;
  const proof = page.dataset.lookup ? { lookup: page.dataset.lookup } : {};

  steps({
    address: `${page.dataset.path}/step`,
    body: async () => proof,
    refusal: "script.alarm_refused",
    prepare: () => ({ label: say("alarm.raise"), style: "danger", work: raise }),
  });

  async function raise(button, { challenge }) {
    const work = () => post(page.dataset.act, { challenge, ...proof });
    const answer = await act(button, work, { retry: () => raise(button, { challenge }), refusal: "script.alarm_refused" });
    if (!answer) return;
    part("when").textContent = answer.when;
    part("ask").remove();
    part("done").hidden = false;
    part("done-title").focus();
  }

  begin("start");
})();
