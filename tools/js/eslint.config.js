// Style of the pages' JavaScript. lint.sh runs this from where npm has put ESLint.
import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended, // no-undef and no-unused-vars are in it
  {
    languageOptions: { globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "max-len": ["error", { code: 110 }],
      "no-unused-vars": ["error", { ignoreRestSiblings: true }],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  // These are loaded without type="module"; the first by other sites, whose names it must leave alone.
  { files: ["static/embed.js", "static/shared/copy.js"], languageOptions: { sourceType: "script" } },
];
