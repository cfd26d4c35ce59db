# Every alarm reaches somebody; every chart shows something that is measured.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:analysis-alarms" }
  }
  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:mocked" }
  }
}

variables {
  name                    = "analysis"
  work_queue_names        = ["analysis-jobs-high", "analysis-jobs"]
  dead_letter_queue_names = ["analysis-jobs-dlq"]
  cluster_name            = "analysis"
  service_name            = "analysis"
  log_group_name          = "/analysis/worker"
}

run "every_alarm_is_wired_to_the_topic" {
  assert {
    condition = alltrue([for alarm in concat(
      values(aws_cloudwatch_metric_alarm.queue), values(aws_cloudwatch_metric_alarm.log), values(aws_cloudwatch_metric_alarm.rate), [aws_cloudwatch_metric_alarm.no_running_task],
    ) : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn]) && alarm.ok_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "Alarm and all-clear must go to the topic."
  }
  assert {
    condition     = length(output.alarm_names) == 10
    error_message = "Two for the dead-letter queue, one for each work queue, two from the log, three rates, one for absent tasks."
  }
}

run "one_dead_letter_alarms_and_eleven_alarm_again" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.queue["analysis-jobs-dlq-not-empty"].threshold == 0 && aws_cloudwatch_metric_alarm.queue["analysis-jobs-dlq-filling"].threshold == 10
    error_message = "Above 0, and above 10."
  }
}

run "the_oldest_job_is_watched_in_every_queue" {
  assert {
    condition     = sort([for alarm in aws_cloudwatch_metric_alarm.queue : alarm.dimensions.QueueName if alarm.metric_name == "ApproximateAgeOfOldestMessage"]) == tolist(["analysis-jobs", "analysis-jobs-high"])
    error_message = "Each work queue needs an alarm on its oldest message."
  }
}

run "absent_tasks_alarm_only_while_jobs_wait" {
  assert {
    condition     = one([for q in aws_cloudwatch_metric_alarm.no_running_task.metric_query : q.expression if q.return_data == true]) == "IF(FILL(FILL(running, REPEAT), 0) < 1, FILL(FILL(waiting0, REPEAT), 0) + FILL(FILL(waiting1, REPEAT), 0), 0)"
    error_message = "No task and no backlog is sleep, not trouble; a number that is late is neither."
  }
  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.rate), [aws_cloudwatch_metric_alarm.no_running_task]) : alarm.datapoints_to_alarm < alarm.evaluation_periods])
    error_message = "Where gaps are filled, one period without a number must not decide."
  }
}

run "a_share_of_few_is_no_rate" {
  assert {
    condition     = one([for q in aws_cloudwatch_metric_alarm.rate["delivery-failures"].metric_query : q.expression if q.return_data == true]) == "IF(whole >= 20, 100 * FILL(webhookfailures, 0) / whole, 0)"
    error_message = "A rate needs a least number of attempts."
  }
  assert {
    condition     = toset([for q in aws_cloudwatch_metric_alarm.rate["error-rate"].metric_query : q.metric[0].metric_name if length(q.metric) == 1]) == toset(["JobsCompleted", "JobsDeadLettered"])
    error_message = "The error rate is dead letters among the settled."
  }
}

run "every_alarm_on_the_log_has_its_filter" {
  assert {
    condition = length(setsubtract(
      concat(
        [for alarm in aws_cloudwatch_metric_alarm.log : alarm.metric_name],
        flatten([for alarm in aws_cloudwatch_metric_alarm.rate : [for q in alarm.metric_query : q.metric[0].metric_name if length(q.metric) == 1]]),
      ),
      keys(aws_cloudwatch_log_metric_filter.this),
    )) == 0
    error_message = "An alarm watches a metric that no filter makes."
  }
  assert {
    condition     = alltrue([for filter in aws_cloudwatch_log_metric_filter.this : filter.metric_transformation[0].namespace == output.metric_namespace])
    error_message = "Filters must write to the fleet's own namespace."
  }
}

run "the_dashboard_shows_alarms_charts_and_the_log" {
  assert {
    condition     = [for w in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : w.type] == concat(["alarm"], [for i in range(9) : "metric"], ["log"])
    error_message = "Alarms on top, nine charts, the log below."
  }
  assert {
    condition     = length(distinct([for w in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : "${w.x},${w.y}"])) == 11
    error_message = "Widgets must not lie on one another."
  }
}

run "only_alarms_of_this_account_may_publish" {
  assert {
    condition     = one([for s in jsondecode(aws_sns_topic_policy.alarms.policy).Statement : s.Condition.StringEquals["aws:SourceAccount"] if s.Effect == "Allow"]) == "123456789012"
    error_message = "The topic must take nothing from other accounts."
  }
}

run "people_are_subscribed_and_told_where_to_read" {
  variables {
    alarm_emails = ["oncall@example.com"]
    runbook_url  = "https://docs.example.com/runbook"
  }
  assert {
    condition     = aws_sns_topic_subscription.email["oncall@example.com"].protocol == "email"
    error_message = "Each address must be subscribed."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.queue : endswith(alarm.alarm_description, "https://docs.example.com/runbook")])
    error_message = "Each alarm must name the runbook."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "analysis fleet"
  }
  expect_failures = [var.name]
}

run "refuses_no_work_queue" {
  command = plan
  variables {
    work_queue_names = []
  }
  expect_failures = [var.work_queue_names]
}

run "refuses_unwatched_dead_letters" {
  command = plan
  variables {
    dead_letter_queue_names = []
  }
  expect_failures = [var.dead_letter_queue_names]
}

run "refuses_something_else_than_an_address" {
  command = plan
  variables {
    alarm_emails = ["oncall"]
  }
  expect_failures = [var.alarm_emails]
}

run "refuses_a_runbook_that_is_no_url" {
  command = plan
  variables {
    runbook_url = "docs/runbook.md"
  }
  expect_failures = [var.runbook_url]
}

run "refuses_thresholds_that_say_nothing" {
  command = plan
  variables {
    dead_letter_threshold      = 0
    oldest_message_threshold_s = 1
    error_rate_percent         = 0
    crash_rate_percent         = 100
    delivery_failure_percent   = 100
    leases_lost_threshold      = -1
    error_lines_threshold      = -1
  }
  expect_failures = [
    var.dead_letter_threshold, var.oldest_message_threshold_s, var.error_rate_percent, var.crash_rate_percent,
    var.delivery_failure_percent, var.leases_lost_threshold, var.error_lines_threshold,
  ]
}
