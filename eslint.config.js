import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["**/dist", "**/build", "**/node_modules", "runs"] },
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Numeric code says `weight.data[i]!` nowhere and `${i}` everywhere.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/no-empty-function": "off",
      // mocha's `describe` and `it` take functions that are called later.
      "@typescript-eslint/no-floating-promises": "error",
      eqeqeq: ["error", "always"],
    },
  },
  { files: ["**/*.{js,mjs,cjs}"], extends: [tseslint.configs.base] },
);
