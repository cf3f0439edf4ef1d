// Entry point of `pulumi --policy-pack policies`. It is JavaScript, because the pack's runner starts ts-node, which
// refuses a TypeScript file here; Node itself runs rules.ts. The runner does not pass its arguments on, so this file
// cannot restart itself under the project's Node as the program does (bin/own-node.cjs).
if (!process.features.typescript) {
  console.error(
    `Node ${process.version} does not run TypeScript; \`npx pulumi\` takes the project's own Node, which does.`,
  );
  process.exit(1);
}
const { PolicyPack } = require("@pulumi/policy");
const { RULES } = require("./rules.ts");

new PolicyPack("framaspace", { policies: [...RULES], enforcementLevel: "mandatory" });
