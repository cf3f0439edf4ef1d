// Forwards connections from the host's loopback into the lab: `node lab/forwarder.ts NAME PORT`. It is the lab's only
// process in the host's network. It joins a port to the load balancer's socket file: no interface leads into the lab.
import { connect, createServer } from "node:net";
import { balancerSocket } from "./balancer.ts";
import { openLab } from "./lab.ts";

const [, , name = "", port = ""] = process.argv;
const path = balancerSocket(openLab(name));
createServer({ allowHalfOpen: true }, (visitor) => {
  const balancer = connect({ path, allowHalfOpen: true });
  visitor.on("error", () => balancer.destroy()).pipe(balancer);
  balancer.on("error", () => visitor.destroy()).pipe(visitor);
}).listen(Number(port), "127.0.0.1");
