// Upload a video by tus-js-client in pieces, broken off after the first: URL TOKEN VIDEO OPTIONS; prints its address.
const fs = require("fs");
const path = require("path");
const tus = require("tus-js-client");

const [url, token, video, options] = process.argv.slice(2);

function upload(more) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(fs.createReadStream(video), {
      headers: {Authorization: `Bearer ${token}`},
      metadata: {filename: path.basename(video), filetype: "video/mp4"},
      uploadSize: fs.statSync(video).size,
      retryDelays: null,
      ...JSON.parse(options),
      ...more,
      onError: reject,
      onSuccess: () => resolve(upload),
      onChunkComplete: () => {
        if (more.breakOff) upload.abort().then(() => resolve(upload), reject);
      },
    });
    upload.start();
  });
}

(async () => {
  const begun = await upload({endpoint: url, chunkSize: 4096, breakOff: true});
  const done = await upload({uploadUrl: begun.url, chunkSize: 65536});
  console.log(done.url);
})().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
