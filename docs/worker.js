// A page that is opened as a file may start no Worker, which the search is. Here it lives in a
// hidden frame instead, with the two functions of a Worker that the search uses.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.answer = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.started = new Promise((start) => { frame.onload = () => start(frame.contentWindow); });
      const ours = "window.postMessage = (data) => frameElement.answer(data)";
      frame.srcdoc = `<script>${ours}<\/script><script src="${url}"><\/script>`;
      document.body.append(frame);
    }

    async postMessage(data) {
      const window = await this.started;
      window.dispatchEvent(new window.MessageEvent("message", { data }));
    }
  };
}
