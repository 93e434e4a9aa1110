// What is in a picture, in a page of the server's own or in Node 18 and newer:
//   const {width, height, detections} = await detect(fileInput.files[0], {classes: "person,cat"});

async function detect(picture, options = {}, server = "", token = "") {
  const query = new URLSearchParams(options);
  const answer = await fetch(`${server}/api/v1/detect?${query}`, {
    method: "POST",
    headers: token ? {Authorization: `Bearer ${token}`} : {},
    body: picture, // a Blob, a File or an ArrayBuffer
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${said.title}: ${said.detail}`);
  return said.images[0];
}

if (typeof module !== "undefined") module.exports = {detect};
