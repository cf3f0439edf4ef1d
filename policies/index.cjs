// What `pulumi --policy-pack policies` loads. JavaScript, because the pack's runner starts ts-node, which refuses a
// TypeScript file here; Node itself runs rules.ts. The runner keeps its words to itself, so that no other Node can take
// over here as one does for the program (bin/own-node.cjs).
if (!process.features.typescript) {
  console.error(
    `Node ${process.version} does not run TypeScript; \`npx pulumi\` takes the project's own Node, which does.`,
  );
  process.exit(1);
}
const { PolicyPack } = require("@pulumi/policy");
const { RULES } = require("./rules.ts");

new PolicyPack("framaspace", { policies: [...RULES], enforcementLevel: "mandatory" });
