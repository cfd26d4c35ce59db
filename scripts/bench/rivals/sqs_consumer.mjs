// sqs-consumer on Node.
//
// Knobs, from its README and API reference: `handleMessageBatch` with `batchSize` 10, so that ten
// messages are worked on at once and deleted in one call; long polls of 20 s; several consumers
// in the process, since one waits for the slowest of its ten before it asks again (1, 2 and 8 were
// tried and not better than 4). The SDK keeps its connections by default; undici's pool keeps
// those to the webhook. 14.2 is the last release line that runs on Node 20.
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";
import { Agent, request } from "undici";

const CONSUMERS = 4;
const BATCH = 10;

const sqs = new SQSClient({ endpoint: process.env.BENCH_SQS, useQueueUrlAsEndpoint: false });
const s3 = new S3Client({ endpoint: process.env.BENCH_S3, forcePathStyle: true });
const dispatcher = new Agent({ connections: CONSUMERS * BATCH });

function event(job) {
  return JSON.stringify({
    type: "analysis.completed",
    timestamp: new Date().toISOString(),
    data: {
      schema_version: "1.0",
      job_id: job.job_id,
      video_id: null,
      status: "completed",
      progress: 100,
      message: "Analysis completed.",
      attempt: 1,
      metadata: {},
      result: { scores: {} },
      result_location: null,
    },
  });
}

async function work(message) {
  const job = JSON.parse(message.Body);
  const [bucket, ...key] = job.s3_audio_url.slice("s3://".length).split("/");
  const reply = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key.join("/") }));
  await reply.Body.transformToByteArray();
  const posted = await request(job.webhook_url, {
    method: "POST",
    body: event(job),
    headers: { "content-type": "application/json" },
    dispatcher,
  });
  await posted.body.dump();
  if (posted.statusCode !== 204) throw new Error(`${job.webhook_url}: ${posted.statusCode}`);
  return message;
}

for (let index = 0; index < CONSUMERS; index += 1) {
  const consumer = Consumer.create({
    queueUrl: process.env.BENCH_QUEUE_URL,
    sqs,
    batchSize: BATCH,
    waitTimeSeconds: 20,
    handleMessageBatch: (messages) => Promise.all(messages.map(work)),
  });
  for (const name of ["error", "processing_error"]) {
    consumer.on(name, (error) => console.error(name, error));
  }
  consumer.start();
}
