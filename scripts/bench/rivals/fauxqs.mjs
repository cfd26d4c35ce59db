// The SQS server of the comparison, on loopback alone (its own command binds every interface).
import { buildApp } from "fauxqs";

const app = buildApp({ logger: false, host: "127.0.0.1" });
console.log(`listening on ${await app.listen({ host: "127.0.0.1", port: 0 })}`);
process.on("SIGTERM", () => process.exit(0));
