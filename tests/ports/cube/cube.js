// So that a test need not wait long for "Continue wait"; seconds.
module.exports = { orchestratorOptions: { queryCacheOptions: { queueOptions: { continueWaitTimeout: 1 } } } };
