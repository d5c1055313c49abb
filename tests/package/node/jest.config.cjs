const { jestConfig } = require('@salesforce/sfdx-lwc-jest/config');

// The components stand in the package and everything else here, so that everything in the package is shipped.
module.exports = {
    ...jestConfig,
    roots: ['<rootDir>/lwc', '<rootDir>/../../../mappings/salesforce/force-app'],
    setupFilesAfterEnv: [...jestConfig.setupFilesAfterEnv, '<rootDir>/jest.setup.cjs'],
    modulePaths: ['<rootDir>/node_modules'],
    testMatch: ['<rootDir>/lwc/*.test.js']
};
