#!/bin/sh
# Check the pages' JavaScript: its types, against those of the API, and its style. Nothing of what checks it is shipped:
# npm puts it into .cache/js.
set -eu
cd "$(dirname "$0")/../.."
cache=.cache/js

# Says why nothing was checked, which only CI takes for a fault.
unchecked() {
    echo "The pages' JavaScript was not checked: $1." >&2
    [ "${CI:-}" != true ]
    exit
}

command -v npm >/dev/null || tools/install_test_packages.sh
command -v npm >/dev/null || unchecked "there is no npm (Debian's packages nodejs and npm)"

mkdir -p $cache
if ! cmp -s tools/js/package-lock.json $cache/installed.json; then
    echo "Installing what tools/js/package.json names into $cache, once."
    cp tools/js/package.json tools/js/package-lock.json $cache
    npm --prefix $cache ci --no-audit --no-fund --loglevel=error || unchecked "npm could not install what checks it"
    cp tools/js/package-lock.json $cache/installed.json
fi

PATH=$PWD/$cache/node_modules/.bin:$PATH
.venv/bin/stream-server openapi >$cache/openapi.json
openapi-typescript $cache/openapi.json --root-types --root-types-no-schema-prefix --output $cache/api.d.ts >/dev/null 2>&1
tsc --project jsconfig.json
cp tools/js/eslint.config.js $cache # beside the packages that it imports
eslint --config $cache/eslint.config.js --max-warnings 0 static
