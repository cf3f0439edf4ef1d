// The program: the stack's name says what it holds.
import * as pulumi from "@pulumi/pulumi";
import { parseStackName, readConfiguration } from "./config.ts";
import { Platform } from "./infra/platform.ts";

const { environment: name, part } = parseStackName(pulumi.getStack());
const configuration = readConfiguration(name);

if (part.kind === "platform") new Platform("platform", configuration);
