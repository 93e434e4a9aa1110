// The request of this page as lines for a terminal and for Python.

const python = (/** @type {string} */ text) => JSON.stringify(text); // a string of JSON is one of Python
const shell = (/** @type {string} */ text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @param {string} url
 * @param {string} file
 * @param {boolean} needsToken
 */
export function curlLine(url, file, needsToken) {
  const token = needsToken ? ' -H "Authorization: Bearer $TOKEN"' : "";
  return `curl${token} --data-binary ${shell(`@${file}`)} ${shell(url)}`;
}

/**
 * @param {string} url
 * @param {string} file
 * @param {boolean} needsToken
 */
export function pythonLines(url, file, needsToken) {
  const headers = needsToken ? ', {"Authorization": f"Bearer {os.environ[\'TOKEN\']}"}' : "";
  return [
    `import json${needsToken ? ", os" : ""}, urllib.request`,
    "",
    `url = ${python(url)}`,
    `with open(${python(file)}, "rb") as picture:`,
    `    request = urllib.request.Request(url, picture.read()${headers})`,
    "with urllib.request.urlopen(request) as answer:",
    '    for found in json.load(answer)["images"][0]["detections"]:',
    '        print(found["label"], found["score"], found["box"])',
  ].join("\n");
}
