// What `pulumi --policy-pack policies` loads. JavaScript, because the pack's runner starts ts-node, which refuses a
// TypeScript file here; Node itself runs rules.ts.
import { PolicyPack } from "@pulumi/policy";
import { RULES } from "./rules.ts";

new PolicyPack("framaspace", { policies: [...RULES], enforcementLevel: "mandatory" });
